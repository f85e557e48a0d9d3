/**
 * Evaluates how well the audio VAE and the vocoder of the bundled base reconstruct held-out recordings:
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
import { logMel } from '../src/audio/mel.ts'
import { resample } from '../src/audio/resample.ts'
import { encodeWav } from '../src/audio/wav.ts'
import type { Waveform } from '../src/audio/waveform.ts'
import { toStereo } from '../src/audio/waveform.ts'
import { startBackend } from '../src/engine/backend.ts'
import { decodeLatents, encodeMel, loadAudioVae } from '../src/model/audio-vae/audio-vae.ts'
import { openBase } from '../src/model/base-model.ts'
import { loadVocoder, vocode } from '../src/model/vocoder/vocoder.ts'
import { spectrogramPng } from '../src/report/page/player.ts'
import { logMelDistance } from './demo/distance.ts'

const { values } = parseArgs({ options: { out: { type: 'string' } } })
const heldOut = fileURLToPath(new URL('../fixtures/demo/held-out', import.meta.url))
const rate = 16_000

await startBackend('auto')
const { components, config } = openBase()
const vae = loadAudioVae(components.audioVae, config.audio_vae)
const vocoder = loadVocoder(components.vocoder, config.vocoder)

const rows: Record<string, Record<string, number>> = {}
for (const file of readdirSync(heldOut).sort()) {
  const original = toStereo(resample(await decodeAudio(join(heldOut, file)), rate))
  const mel = melTensor(original)
  const decoded = tf.tidy(() => decodeLatents(vae, encodeMel(vae, mel)))
  const target = tf.tidy(() => tf.slice(mel, [0, 0, 0, 0], [-1, -1, Math.min(mel.shape[2], decoded.shape[2]), -1]))
  const vocoded = await vocode(vocoder, mel)
  const both = await vocode(vocoder, decoded)
  const error = tf.tidy(
    () => tf.mean(tf.abs(tf.sub(target, tf.slice(decoded, [0, 0, 0, 0], target.shape)))).dataSync()[0],
  )
  rows[file] = {
    'VAE, nats': round(error as number),
    'vocoder, nats': round(logMelDistance(original, vocoded)),
    'both, nats': round(logMelDistance(original, both)),
    'SI-SDR of both, dB': round(siSdr(original, both)),
  }
  if (values.out) write(values.out, file.replace('.flac', ''), { true: original, vocoder: vocoded, both })
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

function melTensor(sound: Waveform): tf.Tensor4D {
  const { channels, frames, melBins, data } = logMel(sound, { sampleRate: rate, nFft: 1024, hop: 160, melBins: 64 })
  return tf.tensor4d(data, [1, channels, frames, melBins])
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
