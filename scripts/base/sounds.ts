/** Synthesized sounds of one second each, for the calibration of the audio VAE. */
import type { Waveform } from '../../src/audio/waveform.ts'
import type { Random } from '../../src/platform/random.ts'

const sampleRate = 16000

/** Stereo at 16 kHz. */
export const typicalSounds = (random: Random): Waveform[] => [
  panned(0.3, pluck(196, 0.5)),
  panned(0.7, pluck(523, 0.25)),
  panned(0.5, mix([pluck(220, 0.4), pluck(277, 0.6), pluck(330, 0.8)])),
  panned(0.4, sweep(80, 6000)),
  panned(0.6, noise(random, 0.08)),
  panned(0.5, noise(random, 0.6)),
  panned(0.2, mix([noise(random, 0.02), sweep(400, 100)])),
]

/** A sound as a function from time in seconds to a sample in [−1, 1]. */
type Tone = (seconds: number) => number

/** Ten harmonics that decay exponentially. */
const pluck =
  (hertz: number, decaySeconds: number): Tone =>
  (t) =>
    0.3 *
    Math.exp(-t / decaySeconds) *
    Array.from({ length: 10 }, (_, h) => Math.sin(2 * Math.PI * hertz * (h + 1) * t) / (h + 1)).reduce((a, b) => a + b)

/** An exponential sweep between two frequencies in one second. */
const sweep = (from: number, to: number): Tone => {
  const octaves = Math.log(to / from)
  return (t) => 0.3 * Math.sin((2 * Math.PI * from * (Math.exp(octaves * t) - 1)) / octaves)
}

/** A decaying burst of white noise every quarter of a second. */
const noise =
  (random: Random, decaySeconds: number): Tone =>
  (t) =>
    0.2 * random.normal() * Math.exp(-(t % 0.25) / decaySeconds)

const mix =
  (tones: Tone[]): Tone =>
  (t) =>
    tones.reduce((total, tone) => total + tone(t), 0) / tones.length

function panned(right: number, tone: Tone): Waveform {
  const samples = Float32Array.from({ length: sampleRate }, (_, i) => tone(i / sampleRate))
  return { sampleRate, channels: [1 - right, right].map((gain) => samples.map((sample) => sample * gain)) }
}
