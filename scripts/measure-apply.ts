/**
 * Measures what `apply` makes of recordings that are much longer than the clips of the LoRA, beside clips that are transformed one after the other:
 *
 *     npx tsx scripts/measure-apply.ts <lora.safetensors of the demo> [--cfg 1,3] [--seeds 1,2] [--seconds 30.8] [--window 4.4] [--backend wasm]
 *
 * The distance is that of log-mels from the true target. The jump is the error of the change of level at the borders of windows, in dB: how far the
 * change from the 80 ms before to the 80 ms after differs from that of the target.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import Table from 'cli-table3'
import { apply } from '../src/apply/apply.ts'
import { decodeAudio } from '../src/audio/decode.ts'
import { encodeWav } from '../src/audio/wav.ts'
import { concatenateWaveforms, normalizePeak, type Waveform } from '../src/audio/waveform.ts'
import { windowOffsets } from '../src/diffusion/windows.ts'
import type { BackendChoice } from '../src/engine/backend.ts'
import { coveringLatentFrames } from '../src/model/audio-vae/latents.ts'
import { randomFor } from '../src/platform/random.ts'
import { mean } from '../src/platform/statistics.ts'
import { logMelDistance } from './demo/distance.ts'
import { captionOf } from './demo/held-out.ts'
import { drumPattern } from './synth/drums.ts'
import { biquadFilter } from './synth/filter.ts'
import { applyRadio } from './synth/radio.ts'
import { type SoundGenerator, sampleRate, scaleToPeak } from './synth/sound.ts'
import { pluckedMelody } from './synth/strings.ts'
import { singing, speech } from './synth/voices.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    cfg: { type: 'string', default: '1,3' },
    seeds: { type: 'string', default: '1,2' },
    seconds: { type: 'string', default: '30.8' },
    window: { type: 'string' },
    backend: { type: 'string', default: 'auto' },
  },
})
const [lora] = positionals
if (lora === undefined) throw new Error('name the LoRA of the demo')
const numbers = (list: string) => list.split(',').map(Number)
const seconds = Number(values.seconds)
const clipSeconds = 2.2
const steps = 8

const generators: Record<string, SoundGenerator> = {
  voice: speech,
  singer: singing,
  string: pluckedMelody,
  drums: drumPattern,
}
const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-long-'))
const recordings = Object.entries(generators).map(([name, generator]) => makeRecording(name, generator))

const table = new Table({ head: ['method', 'guidance', 'distance, nats', 'jump at borders, dB', 'elsewhere, dB'] })
try {
  for (const cfg of numbers(values.cfg)) {
    await measure('clips, one after the other', cfg, inClips, clipBorders())
    await measure('apply', cfg, (name, seed) => transform([name], { cfg, seed }), windowBorders(clipSeconds))
    if (values.window !== undefined) {
      const window = Number(values.window)
      const long = (name: string, seed: number) => transform([name], { cfg, seed, window })
      await measure(`apply --window ${window}`, cfg, long, windowBorders(window))
    }
    function inClips(name: string, seed: number) {
      const clips = Array.from({ length: Math.round(seconds / clipSeconds) }, (_, i) => `${name}-${i}`)
      return transform(clips, { cfg, seed })
    }
  }
} finally {
  rmSync(folder, { recursive: true })
}
console.log(String(table))

/** A recording, its clips and its true target, as files in the folder. */
function makeRecording(name: string, generator: SoundGenerator) {
  const { sound } = generator(randomFor(1929, 'long', name, 'player'), seconds)
  const dry = scaleToPeak(biquadFilter(sound, 'highpass', 25), 0.7)
  const target = waveform(applyRadio(dry, randomFor(1929, 'long', name, 'radio')))
  const recording = normalizePeak(waveform(dry)) // so that clips and whole have one level
  writeFileSync(join(folder, `${name}.wav`), encodeWav(recording, { format: 'float32' }))
  for (let i = 0; i < Math.round(seconds / clipSeconds); i++) {
    const part = [i, i + 1].map((clip) => Math.round(clip * clipSeconds * sampleRate)) as [number, number]
    const clip = { sampleRate, channels: recording.channels.map((channel) => channel.slice(...part)) }
    writeFileSync(join(folder, `${name}-${i}.wav`), encodeWav(clip, { format: 'float32' }))
  }
  return { name, target }
}

function waveform(samples: ArrayLike<number>): Waveform {
  return { sampleRate, channels: [Float32Array.from(samples)] }
}

/** What becomes of the files, joined. */
async function transform(names: readonly string[], options: { cfg: number; seed: number; window?: number }) {
  const out = mkdtempSync(join(folder, 'out-'))
  await apply({
    ...{
      lora: lora as string,
      in: names.map((name) => join(folder, `${name}.wav`)),
      out,
      prompt: captionOf('radio'),
      stgScale: 0,
      steps,
    },
    ...{ normalizeReference: false, sampleRate: 16_000, backend: values.backend as BackendChoice, ...options },
  })
  return concatenateWaveforms(await Promise.all(names.map((name) => decodeAudio(join(out, `${name}.wav`)))))
}

async function measure(
  method: string,
  cfg: number,
  resultOf: (name: string, seed: number) => Promise<Waveform>,
  borders: readonly number[],
) {
  const distances: number[] = []
  const atBorders: number[] = []
  const elsewhere: number[] = []
  for (const { name, target } of recordings)
    for (const seed of numbers(values.seeds)) {
      const result = await resultOf(name, seed)
      distances.push(logMelDistance(result, normalizePeak(target)))
      const [levels, expected] = [levelsOf(result), levelsOf(target)]
      const jump = (at: number) => Math.abs(change(levels, at) - change(expected, at))
      const isNear = (at: number) => borders.some((border) => Math.abs(border - at) < 0.25)
      atBorders.push(...borders.map(jump))
      for (let at = 0.5; at < seconds - 0.5; at += 0.07) if (!isNear(at)) elsewhere.push(jump(at))
    }
  const figures = [mean(distances).toFixed(3), mean(atBorders).toFixed(2), mean(elsewhere).toFixed(2)]
  console.error(method, cfg, ...figures)
  table.push([method, cfg, ...figures])
}

/** In seconds. */
function clipBorders() {
  return Array.from({ length: Math.round(seconds / clipSeconds) - 1 }, (_, i) => (i + 1) * clipSeconds)
}

/** Where the windows of the last step begin and end, in seconds. */
function windowBorders(window: number) {
  const [total, length] = [coveringLatentFrames(seconds), coveringLatentFrames(window)]
  const offsets = windowOffsets(total, length, steps - 1)
  return [...new Set(offsets.flatMap((offset) => [offset, offset + length]))]
    .map((frame) => frame / 25)
    .filter((at) => at > 0.2 && at < seconds - 0.2)
}

/** The power of every 10 ms. */
function levelsOf({ channels, sampleRate }: Waveform): Float64Array {
  const length = Math.round(sampleRate / 100)
  const count = Math.floor((channels[0]?.length ?? 0) / length)
  const mono = (i: number) => mean(channels.map((channel) => channel[i] as number))
  return Float64Array.from({ length: count }, (_, k) => {
    let power = 0
    for (let i = k * length; i < (k + 1) * length; i++) power += mono(i) ** 2
    return power / length
  })
}

/** How the level changes from the 80 ms before to the 80 ms after, in dB. @param at in seconds. */
function change(levels: Float64Array, at: number): number {
  const frame = Math.round(at * 100)
  const level = (from: number) => 10 * Math.log10(mean([...levels.slice(from, from + 8)]) + 1e-7)
  return level(frame) - level(frame - 8)
}
