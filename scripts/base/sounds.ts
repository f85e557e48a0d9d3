/** A handful of made-up sounds, one second each, to measure the audio VAE with. */
import type { Waveform } from '../../src/audio/waveform.ts'
import type { Random } from '../../src/platform/random.ts'

const sampleRate = 16000

/** Stereo at 16 kHz. */
export const typicalSounds = (random: Random): Waveform[] => [
  pan(0.3, pluck(196, 0.5)),
  pan(0.7, pluck(523, 0.25)),
  pan(0.5, mixed([pluck(220, 0.4), pluck(277, 0.6), pluck(330, 0.8)])),
  pan(0.4, sweep(80, 6000)),
  pan(0.6, noise(random, 0.08)),
  pan(0.5, noise(random, 0.6)),
  pan(0.2, mixed([noise(random, 0.02), sweep(400, 100)])),
]

/** A tone t ↦ amplitude, at most 1. */
type Tone = (seconds: number) => number

/** Ten harmonics, dying away. */
const pluck =
  (hertz: number, decaySeconds: number): Tone =>
  (t) =>
    0.3 *
    Math.exp(-t / decaySeconds) *
    Array.from({ length: 10 }, (_, h) => Math.sin(2 * Math.PI * hertz * (h + 1) * t) / (h + 1)).reduce((a, b) => a + b)

/** From one frequency to another, each octave in the same time. */
const sweep = (from: number, to: number): Tone => {
  const octaves = Math.log(to / from)
  return (t) => 0.3 * Math.sin((2 * Math.PI * from * (Math.exp(octaves * t) - 1)) / octaves)
}

/** A burst of hiss every quarter of a second. */
const noise =
  (random: Random, decaySeconds: number): Tone =>
  (t) =>
    0.2 * random.normal() * Math.exp(-(t % 0.25) / decaySeconds)

const mixed =
  (tones: Tone[]): Tone =>
  (t) =>
    tones.reduce((total, tone) => total + tone(t), 0) / tones.length

function pan(right: number, tone: Tone): Waveform {
  const samples = Float32Array.from({ length: sampleRate }, (_, i) => tone(i / sampleRate))
  return { sampleRate, channels: [1 - right, right].map((gain) => samples.map((sample) => sample * gain)) }
}
