/**
 * `npm run demo` trains a LoRA on the bundled pairs, previews four held-out recordings with and without it, and measures the distances of the
 * previews from the true targets. With `--check` it fails if the previews with the LoRA are too far from them.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { physicalCores } from '../src/machine/hardware.ts'
import { compareWithTargets } from './demo/comparison.ts'

const bin = fileURLToPath(new URL('../bin/ltx-a2a.js', import.meta.url))
const demo = fileURLToPath(new URL('../fixtures/demo', import.meta.url))
const run = `runs/demo-${new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-')}`
const trigger = 'v1ntage radio'
const sounds = ['voice', 'singer', 'string', 'drums']
const referenceOf = (name: string) => join(demo, 'held-out', `${name}_start.flac`)
/** With `--check`: the largest distance with the LoRA, as a share of the distances of the references and of the base alone. */
const maxDistanceRatio = 0.6
/** For each of two processes that run at the same time. */
const halfOfTheThreads = String(Math.min(8, Math.max(1, Math.floor(physicalCores() / 2))))
const clipLength = ['--audio-duration-seconds', '2.2']

await ltxA2a(['inspect-dataset', join(demo, 'pairs.zip'), ...clipLength, '--trigger-phrase', trigger])
await ltxA2a([
  'train',
  ...['--data', join(demo, 'pairs.zip'), '--trigger-phrase', trigger, ...clipLength],
  ...['--rank', '16', '--number-of-steps', '100', '--learning-rate', '0.005'],
  ...['--validation-reference', referenceOf('voice'), '--validation-prompt', trigger],
  ...['--validation-reference', referenceOf('drums'), '--validation-prompt', trigger],
  ...['--preview-interval', '50', '--preview-steps', '8', '--preview-cfg', '1', '--out', run],
])
for (const name of sounds)
  await Promise.all([preview(name, `${name}-base`), preview(name, name, '--lora', join(run, 'lora.safetensors'))])
const { reference, base, lora } = await compareWithTargets(
  sounds.map((name) => ({ name, folder: join(demo, 'held-out'), previews: join(run, 'held-out') })),
)
console.log(`\nListen: ${join(run, 'report.html')} and ${join(run, 'held-out')}`)

if (process.argv.includes('--check') && lora > maxDistanceRatio * Math.min(reference, base)) {
  console.error(
    `the distance with the LoRA is more than ${maxDistanceRatio} times that of the references or of the base alone`,
  )
  process.exitCode = 1
}

/** @param output the name of the file, without its extension. @param lora the flags that load a LoRA. Without them the base alone is used. */
function preview(name: string, output: string, ...lora: string[]) {
  const path = join(run, 'held-out', `${output}.wav`)
  const options = ['--steps', '8', '--cfg', '1', '--duration', '2.2', '--prompt', trigger, '--quiet', '--out', path]
  return ltxA2a(['preview', ...lora, '--ref', referenceOf(name), ...options], { LTX_A2A_THREADS: halfOfTheThreads })
}

async function ltxA2a(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  console.error(`\n$ ltx-a2a ${args.map((arg) => (arg.includes(' ') ? JSON.stringify(arg) : arg)).join(' ')}`)
  const options = { stdio: 'inherit', env: { ...env, ...process.env } } as const
  const [status] = await once(spawn(process.execPath, [bin, ...args], options), 'exit')
  if (status !== 0) process.exit(status ?? 1)
}
