/**
 * Measures what longer pairs give: trains on ten pairs of one minute with `--windows first` and with `--windows all`, and compares the held-out loss and the
 * distance of transformed held-out recordings from their true targets, each with the LoRA and with its moving average:
 *
 *     npx tsx scripts/measure-windows.ts [--steps 400] [--learning-rate 0.002] [--backend auto]
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import Table from 'cli-table3'
import { apply } from '../src/apply/apply.ts'
import { decodeAudio } from '../src/audio/decode.ts'
import { encodeWav } from '../src/audio/wav.ts'
import { normalizePeak, type Waveform } from '../src/audio/waveform.ts'
import type { BackendChoice } from '../src/engine/backend.ts'
import { randomFor } from '../src/platform/random.ts'
import { mean } from '../src/platform/statistics.ts'
import { evaluationOf } from '../src/train/evaluation.ts'
import { train } from '../src/train/train.ts'
import { logMelDistance } from './demo/distance.ts'
import { glockenspielMelody, marimbaMelody } from './synth/bells.ts'
import { drumPattern } from './synth/drums.ts'
import { biquadFilter } from './synth/filter.ts'
import { applyRadio } from './synth/radio.ts'
import { type SoundGenerator, sampleRate, scaleToPeak } from './synth/sound.ts'
import { bowedNotes, pluckedMelody, strummedChords } from './synth/strings.ts'
import { humming, singing, speech } from './synth/voices.ts'
import { fluteMelody } from './synth/winds.ts'

const { values } = parseArgs({
  options: {
    steps: { type: 'string', default: '400' },
    'learning-rate': { type: 'string', default: '0.002' },
    backend: { type: 'string', default: 'auto' },
  },
})
const backend = values.backend as BackendChoice
const trainingSounds: readonly SoundGenerator[] = [
  ...[speech, singing, humming, pluckedMelody, strummedChords, bowedNotes],
  ...[drumPattern, glockenspielMelody, marimbaMelody, fluteMelody],
]
const heldOutSounds: Record<string, SoundGenerator> = {
  voice: speech,
  singer: singing,
  string: pluckedMelody,
  drums: drumPattern,
}
const sampling = { steps: 8, cfg: 1, stgScale: 0, seed: 1, prompt: 'v1ntage radio', backend } as const

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-windows-'))
const [training, heldOut] = ['training', 'held-out'].map((name) => {
  const path = join(folder, name)
  mkdirSync(path)
  return path
}) as [string, string]
try {
  for (const [i, generator] of trainingSounds.entries()) writePair(training, `pair${i}`, generator, 60)
  const targets = Object.entries(heldOutSounds).map(([name, generator]) => ({
    name,
    target: writePair(heldOut, name, generator, 2.2),
  }))
  const head = [
    'windows',
    'clips',
    'lowest held-out loss',
    'at the end',
    'average: lowest',
    'at the end',
    'distance',
    'average',
  ]
  const table = new Table({ head })
  for (const windows of ['first', 'all'] as const) {
    const run = await train({
      ...{ data: training, holdoutData: heldOut, windows, ema: 0.99, evalInterval: 25, triggerPhrase: 'v1ntage radio' },
      ...{ audioDurationSeconds: 2.2, rank: 16, numberOfSteps: Number(values.steps), backend },
      ...{ learningRate: Number(values['learning-rate']), out: join(folder, windows) },
    })
    const lines = readFileSync(join(run.folder.path, 'metrics.jsonl'), 'utf8').trim().split('\n')
    const evaluations = lines.flatMap((line) => evaluationOf(JSON.parse(line)) ?? [])
    const losses = (name: 'heldOutLoss' | 'emaHeldOutLoss') =>
      evaluations.map((evaluation) => evaluation[name] ?? Number.NaN)
    const shown = (name: 'heldOutLoss' | 'emaHeldOutLoss') =>
      [Math.min(...losses(name)), losses(name).at(-1) as number].map((loss) => loss.toFixed(4))
    const distances = []
    for (const lora of ['lora.safetensors', 'lora-ema.safetensors'])
      distances.push((await distanceOf(join(run.folder.path, lora), targets)).toFixed(3))
    const clips = windows === 'first' ? trainingSounds.length : '27 each'
    const row = [windows, clips, ...shown('heldOutLoss'), ...shown('emaHeldOutLoss'), ...distances]
    console.error(...row)
    table.push(row)
  }
  console.log(String(table))
} finally {
  rmSync(folder, { recursive: true })
}

/** @returns the target. */
function writePair(path: string, name: string, generator: SoundGenerator, seconds: number): Waveform {
  const { sound } = generator(
    randomFor(1929, path === training ? 'windows' : 'windows held-out', name, 'player'),
    seconds,
  )
  const dry = scaleToPeak(biquadFilter(sound, 'highpass', 25), 0.7)
  const waveform = (samples: ArrayLike<number>) => ({ sampleRate, channels: [Float32Array.from(samples)] })
  const [start, end] = [
    normalizePeak(waveform(dry)),
    waveform(applyRadio(dry, randomFor(1929, 'windows', path, name, 'radio'))),
  ]
  writeFileSync(join(path, `${name}_start.wav`), encodeWav(start))
  writeFileSync(join(path, `${name}_end.wav`), encodeWav(end))
  return end
}

/** The mean distance of the transformed held-out recordings from their targets, in nats. */
async function distanceOf(lora: string, targets: readonly { name: string; target: Waveform }[]): Promise<number> {
  const out = mkdtempSync(join(folder, 'out-'))
  const inputs = targets.map(({ name }) => join(heldOut, `${name}_start.wav`))
  await apply({ ...sampling, lora, in: inputs, out, sampleRate: 16_000, normalizeReference: false })
  const distances = []
  for (const { name, target } of targets)
    distances.push(logMelDistance(await decodeAudio(join(out, `${name}_start.wav`)), normalizePeak(target)))
  return mean(distances)
}
