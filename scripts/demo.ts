/** `npm run demo`: the main job on what the package brings along. Trains on the demo pairs, then previews a reference the LoRA has not seen. */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const bin = fileURLToPath(new URL('../bin/ltx-a2a.js', import.meta.url))
const demo = fileURLToPath(new URL('../fixtures/demo', import.meta.url))
const run = `runs/demo-${new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-')}`

ltxA2a('inspect-dataset', `${demo}/pairs.zip`, '--audio-duration-seconds', '2.2', '--trigger-phrase', 'v1ntage radio')
ltxA2a(
  'train',
  ...['--data', `${demo}/pairs.zip`, '--trigger-phrase', 'v1ntage radio', '--audio-duration-seconds', '2.2'],
  ...['--rank', '8', '--number-of-steps', '120', '--learning-rate', '0.002', '--dev-allow-few-steps'],
  ...['--validation-reference', `${demo}/reference-1.flac`, '--validation-prompt', 'v1ntage radio'],
  ...['--preview-steps', '10', '--out', run],
)
ltxA2a(
  'preview',
  ...['--lora', `${run}/lora.safetensors`, '--ref', `${demo}/reference-2.flac`],
  ...['--steps', '10', '--out', `${run}/preview.wav`],
)

function ltxA2a(...args: string[]) {
  console.error(`\n$ ltx-a2a ${args.map((arg) => (arg.includes(' ') ? JSON.stringify(arg) : arg)).join(' ')}`)
  const { status } = spawnSync(process.execPath, [bin, ...args], { stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}
