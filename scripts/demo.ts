/**
 * `npm run demo` trains a LoRA on the bundled pairs, applies it to four held-out recordings with three captions, and measures how near the results come
 * to the true targets. The page that it writes has players for all of them. With `--check` it fails if they are too far.
 */
import { type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { physicalCores } from '../src/machine/hardware.ts'
import { shellQuote } from '../src/platform/text.ts'
import { printDistances } from './demo/distances.ts'
import { captionOf, type ResultName, readHeldOut, referenceOf, sounds } from './demo/held-out.ts'
import { writeDemoPage } from './demo/page.ts'

const bin = fileURLToPath(new URL('../bin/ltx-a2a.js', import.meta.url))
const demo = relative('.', fileURLToPath(new URL('../fixtures/demo', import.meta.url)))
const heldOut = join(demo, 'held-out')
const run = `runs/demo-${new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-')}`
/** With `--check`: the largest distance with the LoRA, in nats, and how many times as large that with other captions is at least. */
const limits = { lora: 0.65, otherCaptions: 1.5 }
/** For each of two processes that run at the same time. */
const halfOfTheThreads = String(Math.min(8, Math.max(1, Math.floor(physicalCores() / 2))))
const steps = 80
/** For `apply`. */
const sampling = ['--steps', '4', '--cfg', '1', '--stg-scale', '0', '--window', '3']
const lora = join(run, 'lora.safetensors')
const started = performance.now()

await ltxA2a([
  'train',
  ...['--data', join(demo, 'pairs.zip'), '--audio-duration-seconds', '2.2'],
  ...['--rank', '16', '--number-of-steps', String(steps)],
  ...['--learning-rate', '0.008', '--learning-rate-schedule', 'linear'],
  ...['--validation-reference', referenceOf(heldOut, 'voice'), '--validation-prompt', captionOf('radio')],
  ...['--preview-interval', String(steps), '--preview-steps', '4', '--preview-cfg', '1', '--stg-scale', '0'],
  ...['--out', run],
])
console.error('\nThe held-out recordings, with and without the LoRA and with other captions, two commands at a time:')
await Promise.all([transform('base'), transform('radio', '--lora', lora)])
await Promise.all([transform('telephone', '--lora', lora), transform('hall', '--lora', lora)])

const results = await readHeldOut(heldOut, run)
const means = printDistances(results)
const page = join(run, 'demo.html')
const words = [
  'apply',
  'recording.wav',
  '--lora',
  lora,
  '--prompt',
  captionOf('radio'),
  ...sampling,
  '--out',
  'radio.wav',
]
const tryIt = commandLine(words)
await writeDemoPage(page, results, { steps, seconds: (performance.now() - started) / 1000, tryIt })
console.log(`\nListen: ${page}\nThe run: ${join(run, 'report.html')}`)
console.log(`\nTry the LoRA on a recording of yours:\n${tryIt}`)

if (
  process.argv.includes('--check') &&
  (means.radio > limits.lora || means.otherCaptions < limits.otherCaptions * means.radio)
) {
  console.error(
    `the distance with the LoRA must be at most ${limits.lora}, and ${limits.otherCaptions} times as large with other captions`,
  )
  process.exitCode = 1
}

/** Transforms all held-out recordings. @param flags those of the LoRA. Without them the base alone is used. */
function transform(result: ResultName, ...flags: string[]) {
  const options = [...sampling, '--prompt', captionOf(result), '--quiet']
  const out = ['--format', 'wav', '--out', join(run, result)]
  const recordings = sounds.map((sound) => referenceOf(heldOut, sound))
  const env = { LTX_A2A_THREADS: halfOfTheThreads, ...process.env }
  return ltxA2a(['apply', ...recordings, ...flags, ...options, ...out], { env, stdio: ['ignore', 'ignore', 'inherit'] })
}

async function ltxA2a(args: readonly string[], options: SpawnOptions = { stdio: 'inherit' }) {
  console.error(`\n$ ${commandLine(args)}`)
  const [status] = await once(spawn(process.execPath, [bin, ...args], options), 'exit')
  if (status !== 0) process.exit(status ?? 1)
}

function commandLine(args: readonly string[]) {
  return ['npx', 'ltx-a2a', ...args].map(shellQuote).join(' ')
}
