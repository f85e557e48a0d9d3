import { describe, expect, it } from 'vitest'
import { reconstructSound } from '../../src/audio/griffin-lim.ts'
import { logMel, type Mel } from '../../src/audio/mel.ts'
import { createMelInversion } from '../../src/audio/mel-inversion.ts'
import { createStft } from '../../src/audio/stft.ts'
import { concatenateWaveforms, peak, sampleCount, type Waveform } from '../../src/audio/waveform.ts'
import { normals, randomFor } from '../../src/platform/random.ts'

const sampleRate = 16_000
const options = { sampleRate, nFft: 1024, hop: 160, melBins: 64 }

/** Harmonics whose pitch glides, with pauses, and a noise floor. */
function voiceLike(seconds: number, hertz: number): Float32Array {
  const noise = normals(randomFor(1, 'floor', hertz), seconds * sampleRate)
  let phase = 0
  return noise.map((x, i) => {
    const t = i / sampleRate
    phase += (2 * Math.PI * hertz * (1 + 0.2 * Math.sin(2 * Math.PI * t))) / sampleRate
    const harmonics = [1, 2, 3, 5, 8].reduce((sum, k) => sum + Math.sin(k * phase) / k, 0)
    return 0.2 * harmonics * (Math.sin(4 * Math.PI * t) > -0.5 ? 1 : 0) + 0.001 * x
  })
}

async function pieces(mel: Mel): Promise<Waveform[]> {
  const all: Waveform[] = []
  for await (const piece of reconstructSound(mel, options)) all.push(piece)
  return all
}

const reconstructed = async (mel: Mel) => concatenateWaveforms(await pieces(mel))

/** The mean absolute difference in nats of the frames that both have. */
function melDistance(a: Mel, b: Mel, from = 0, to = Math.min(a.frames, b.frames)): number {
  let sum = 0
  for (let c = 0; c < a.channels; c++)
    for (let frame = from; frame < to; frame++)
      for (let bin = 0; bin < a.melBins; bin++) {
        const [x, y] = [a, b].map(({ frames, melBins, data }) => data[(c * frames + frame) * melBins + bin] as number)
        sum += Math.abs((x as number) - (y as number))
      }
  return sum / (a.channels * (to - from) * a.melBins)
}

describe('the short-time Fourier transform', () => {
  it.each([1, 2, 7])('of %i frames is inverted exactly where windows overlap', (frames) => {
    const stft = createStft(frames, options)
    const signal = Float64Array.from(normals(randomFor(2, 'signal'), stft.length))
    const spectra = { real: new Float32Array(frames * 513), imaginary: new Float32Array(frames * 513) }
    stft.forward(signal, spectra)
    const back = new Float64Array(stft.length)
    stft.inverse(spectra, back)
    for (let n = 100; n < stft.length - 100; n++) expect(back[n]).toBeCloseTo(signal[n] as number, 3)
  })

  it('has the frequency of a cosine, in every frame', () => {
    const stft = createStft(5, options)
    const signal = Float64Array.from({ length: stft.length }, (_, n) => Math.cos((2 * Math.PI * 40 * n) / 1024))
    const spectra = { real: new Float32Array(5 * 513), imaginary: new Float32Array(5 * 513) }
    stft.forward(signal, spectra)
    for (let frame = 0; frame < 5; frame++) {
      const at = (bin: number) =>
        Math.hypot(spectra.real[frame * 513 + bin] as number, spectra.imaginary[frame * 513 + bin] as number)
      expect(at(40)).toBeCloseTo(256, 0) // a quarter of the samples: half for the cosine, half for the window
      expect(at(41)).toBeCloseTo(128, 0)
      expect(at(45)).toBeLessThan(0.1)
    }
  })
})

it('the inversion of the mel filterbank finds positive magnitudes with the given mel spectrogram', () => {
  const { frames, data } = logMel({ sampleRate, channels: [voiceLike(0.5, 150)] }, options)
  const magnitudes = new Float32Array(frames * 513).fill(1)
  const mel = data.map(Math.exp)
  const inversion = createMelInversion(options)
  const errors = [1, 20, 200].map((steps) => {
    for (let step = 0; step < steps; step++) inversion.approach(magnitudes, mel)
    const before = magnitudes.slice()
    inversion.approach(magnitudes, mel)
    return magnitudes.reduce((sum, x, i) => sum + Math.abs(x - (before[i] as number)), 0)
  })
  expect(errors[1]).toBeLessThan(0.2 * (errors[0] as number))
  expect(errors[2]).toBeLessThan(0.2 * (errors[1] as number))
  expect(magnitudes.every((x) => x >= 0)).toBe(true)
  expect(Math.max(...magnitudes)).toBeGreaterThan(10)
})

describe('sound reconstructed from a log-mel', () => {
  const wave = { sampleRate, channels: [voiceLike(2, 150), voiceLike(2, 220)] }
  const mel = logMel(wave, options)

  it('has its mel spectrogram, the same bytes every time, and 160 samples per frame', async () => {
    const [once, again] = [await reconstructed(mel), await reconstructed(mel)]
    expect(again).toEqual(once)
    expect(once.sampleRate).toBe(sampleRate)
    expect(sampleCount(once)).toBe(mel.frames * 160)
    expect(melDistance(logMel(once, options), mel)).toBeLessThan(0.1)
  })

  it('keeps a sound that is in the middle there, and one that is on a side there', async () => {
    const [voice] = wave.channels as [Float32Array]
    const quiet = voice.map((x) => 0.1 * x)
    const middle = await reconstructed(logMel({ sampleRate, channels: [voice, voice] }, options))
    const side = await reconstructed(logMel({ sampleRate, channels: [voice, quiet] }, options))
    expect(correlation(middle)).toBeGreaterThan(0.999)
    expect(correlation(side)).toBeGreaterThan(0.9)
    const [left = 0, right = 0] = side.channels.map((x) => Math.sqrt(x.reduce((sum, y) => sum + y * y, 0)))
    expect(right / left).toBeCloseTo(0.1, 2)
  })

  it('has the mel spectrogram also at its ends, where the front end reflects the sound', async () => {
    const sound = logMel(await reconstructed(mel), options)
    expect(melDistance(sound, mel, 0, 3)).toBeLessThan(0.1)
    expect(melDistance(sound, mel, mel.frames - 3, mel.frames)).toBeLessThan(0.1)
  })

  it('can be stopped between iterations', async () => {
    let calls = 0
    const stop = () => {
      if (++calls === 3) throw new Error('stopped')
    }
    const sound = reconstructSound(mel, options, stop)
    await expect(sound.next()).rejects.toThrow('stopped')
    expect(calls).toBe(3)
  })

  it('is silent where the log-mel is', async () => {
    const silence = { channels: 2, frames: 50, melBins: 64, data: new Float32Array(2 * 50 * 64).fill(Math.log(1e-5)) }
    expect(peak(await reconstructed(silence))).toBeLessThan(1e-3)
  })

  it.each([1, 2, 25])('may have %i frames', async (frames) => {
    const data = normals(randomFor(3, 'short'), 2 * frames * 64).map((x) => x - 4)
    const short = await reconstructed({ channels: 2, frames, melBins: 64, data })
    expect(sampleCount(short)).toBe(frames * 160)
    expect(short.channels.every((channel) => channel.every(Number.isFinite))).toBe(true)
  })

  it('comes in pieces, whose seams are as good as the rest', async () => {
    const long = { sampleRate, channels: [voiceLike(23, 150)] }
    const longMel = logMel(long, options)
    const parts = await pieces(longMel)
    expect(parts.map(sampleCount)).toEqual([160_000, 160_000, 48_160])
    const again = logMel(concatenateWaveforms(parts), options)
    const overall = melDistance(again, longMel)
    expect(overall).toBeLessThan(0.1)
    for (const seam of [1000, 2000]) expect(melDistance(again, longMel, seam - 8, seam + 8)).toBeLessThan(2 * overall)
  })
})

function correlation({ channels: [a, b] }: Waveform): number {
  const dot = (x: Float32Array, y: Float32Array) => x.reduce((sum, value, i) => sum + value * (y[i] as number), 0)
  const [x, y] = [a as Float32Array, b as Float32Array]
  return dot(x, y) / Math.sqrt(dot(x, x) * dot(y, y))
}
