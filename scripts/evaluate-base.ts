/**
 * Evaluates how well the audio VAE of the bundled base and phase reconstruction reproduce held-out recordings:
 * `npx tsx scripts/evaluate-base.ts [--out <folder>]`. The folder gets the reconstructions and their spectrograms.
 */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import * as tf from '@tensorflow/tfjs'
import { toMono } from '../src/audio/analysis/channels.ts'
import { spectrogramOf } from '../src/audio/analysis/spectrogram.ts'
import { decodeAudio } from '../src/audio/decode.ts'
import { logMel, type Mel, melRows } from '../src/audio/mel.ts'
import { resample } from '../src/audio/resample.ts'
import { encodeWav } from '../src/audio/wav.ts'
import type { Waveform } from '../src/audio/waveform.ts'
import { toStereo } from '../src/audio/waveform.ts'
import { startBackend } from '../src/engine/backend.ts'
import { decodeLatents, encodeMel, loadAudioVae } from '../src/model/audio-vae/audio-vae.ts'
import { openBase } from '../src/model/base-model.ts'
import { melOptionsOf } from '../src/model/config.ts'
import { melOfTensor, melTensor } from '../src/model/mel-tensor.ts'
import { sum } from '../src/platform/statistics.ts'
import { openRenderer } from '../src/preview/renderer.ts'
import { spectrogramPng } from '../src/report/page/player.ts'
import { logMelDistance } from './demo/distance.ts'

const { values } = parseArgs({ options: { out: { type: 'string' } } })
const heldOut = fileURLToPath(new URL('../fixtures/demo/held-out', import.meta.url))

await startBackend('auto')
const base = openBase()
const vae = loadAudioVae(base.components.audioVae, base.config.audio_vae)
const renderer = openRenderer(base, 'griffin-lim')
const melOptions = melOptionsOf(base.config.audio_vae)
const rate = melOptions.sampleRate

const rows: Record<string, Record<string, number>> = {}
for (const file of readdirSync(heldOut).sort()) {
  const original = toStereo(resample(await decodeAudio(join(heldOut, file)), rate))
  const mel = logMel(original, melOptions)
  const decoded = await throughVae(mel)
  const rendered = await renderer.render(mel)
  const both = await renderer.render(decoded)
  rows[file] = {
    'VAE, nats': round(meanError(decoded, mel)),
    'renderer, nats': round(logMelDistance(original, rendered)),
    'both, nats': round(logMelDistance(original, both)),
    'SI-SDR of both, dB': round(siSdr(original, both)),
  }
  if (values.out) write(values.out, file.replace('.flac', ''), { true: original, rendered, both })
}
console.table(rows)

/** Writes a wav and a spectrogram of each. */
function write(folder: string, name: string, sounds: Record<string, Waveform>) {
  mkdirSync(folder, { recursive: true })
  for (const [kind, sound] of Object.entries(sounds)) {
    writeFileSync(join(folder, `${name}-${kind}.wav`), encodeWav(sound))
    writeFileSync(join(folder, `${name}-${kind}.png`), spectrogramPng(spectrogramOf(toMono(sound))))
  }
}

function throughVae(mel: Mel): Promise<Mel> {
  return melOfTensor(tf.tidy(() => decodeLatents(vae, encodeMel(vae, melTensor(mel)))))
}

/** The mean absolute difference over the frames that both have. */
function meanError(a: Mel, b: Mel): number {
  const frames = Math.min(a.frames, b.frames)
  const errors = Array.from({ length: a.channels }, (_, c) => {
    const other = melRows(b, c, 0, frames)
    return melRows(a, c, 0, frames).reduce((sum, x, i) => sum + Math.abs(x - (other[i] as number)), 0)
  })
  return sum(errors) / (a.channels * frames * a.melBins)
}

/** The scale-invariant signal-to-distortion ratio in dB, of the first channel. */
function siSdr(original: Waveform, estimate: Waveform): number {
  const [x] = original.channels as [Float32Array]
  const [y] = resample(estimate, rate).channels as [Float32Array]
  const length = Math.min(x.length, y.length)
  let [xy, xx, yy] = [0, 0, 0]
  for (let i = 0; i < length; i++) {
    const [a, b] = [x[i] as number, y[i] as number]
    xy += a * b
    xx += a * a
    yy += b * b
  }
  const signal = xy ** 2 / xx
  return 10 * Math.log10(signal / (yy - signal))
}

function round(x: number) {
  return Math.round(100 * x) / 100
}
