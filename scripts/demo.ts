/**
 * `npm run demo`: the main job on what the package brings along. Trains a LoRA on the demo pairs, lets it loose on four recordings it has never
 * heard, and measures how near it comes to what a real radio makes of them. With `--check` it fails where it does not come near enough.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { figures } from './demo/figures.ts'

const bin = fileURLToPath(new URL('../bin/ltx-a2a.js', import.meta.url))
const demo = fileURLToPath(new URL('../fixtures/demo', import.meta.url))
const run = `runs/demo-${new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-')}`
const trigger = 'v1ntage radio'
const sounds = ['voice', 'singer', 'string', 'drums']
const startOf = (name: string) => join(demo, 'held-out', `${name}_start.flac`)
const nearEnough = 0.6
const length = ['--audio-duration-seconds', '2.2']

await ltxA2a('inspect-dataset', join(demo, 'pairs.zip'), ...length, '--trigger-phrase', trigger)
await ltxA2a(
  'train',
  ...['--data', join(demo, 'pairs.zip'), '--trigger-phrase', trigger, ...length],
  ...['--rank', '16', '--number-of-steps', '100', '--learning-rate', '0.005', '--dev-allow-few-steps'],
  ...['--validation-reference', startOf('voice'), '--validation-prompt', trigger],
  ...['--validation-reference', startOf('drums'), '--validation-prompt', trigger],
  ...['--preview-interval', '50', '--preview-steps', '8', '--preview-cfg', '1', '--out', run],
)
for (const name of sounds)
  await Promise.all([preview(name, `${name}-base`), preview(name, name, '--lora', join(run, 'lora.safetensors'))])
const far = await figures(
  sounds.map((name) => ({ name, folder: join(demo, 'held-out'), previews: join(run, 'held-out') })),
)
console.log(`\nListen: ${join(run, 'report.html')} and ${join(run, 'held-out')}`)

if (process.argv.includes('--check') && far.lora > nearEnough * Math.min(far.reference, far.base)) {
  console.error(`that is more than ${nearEnough} times as far`)
  process.exitCode = 1
}

/** Both with the trigger phrase; without a LoRA the base answers. */
function preview(name: string, as: string, ...lora: string[]) {
  const to = join(run, 'held-out', `${as}.wav`)
  const plainly = ['--steps', '8', '--cfg', '1', '--duration', '2.2', '--prompt', trigger, '--quiet']
  return ltxA2a('preview', ...lora, '--ref', startOf(name), ...plainly, '--out', to)
}

async function ltxA2a(...args: string[]) {
  console.error(`\n$ ltx-a2a ${args.map((arg) => (arg.includes(' ') ? JSON.stringify(arg) : arg)).join(' ')}`)
  const [status] = await once(spawn(process.execPath, [bin, ...args], { stdio: 'inherit' }), 'exit')
  if (status !== 0) process.exit(status ?? 1)
}
