import { describe, expect, test } from 'vitest'
import { hannWindow, logMel, type MelOptions, melFilterbank } from '../../src/audio/mel.ts'
import { resample } from '../../src/audio/resample.ts'
import type { Waveform } from '../../src/audio/waveform.ts'
import { toStereo } from '../../src/audio/waveform.ts'
import { openSafetensors } from '../../src/formats/safetensors.ts'
import { type Golden, golden, goldenPath } from './golden.ts'

const mel = golden('mel.safetensors')
const options = melOptions()
const [, melBins] = mel.shape('filterbank')

describe('the log-mel front end matches the reference:', () => {
  test('window', () => mel.expectClose('window', hannWindow(options.nFft)))

  test('filterbank', () => {
    expect(melBins).toBe(options.melBins)
    mel.expectClose('filterbank', melFilterbank(options))
  })

  for (const name of namesEndingIn('.wave'))
    test(`log-mel of ${name}`, () => {
      expectLogMel(`${name}.mel`, waveform(mel, `${name}.wave`, options.sampleRate), { loud: 5e-4, quiet: 2e-2 })
    })
})

describe('the resampler matches the reference:', () => {
  for (const name of namesEndingIn('.in').filter((name) => name.startsWith('resample'))) {
    const input = () => waveform(mel, `${name}.in`, Number(name.slice('resample'.length)))
    test(`${name} to ${options.sampleRate}`, () => {
      mel.expectClose(`${name}.out`, flat(resample(input(), options.sampleRate)))
    })
    if (mel.names.includes(`${name}.mel`))
      test(`log-mel after ${name}`, () => {
        expectLogMel(`${name}.mel`, resample(input(), options.sampleRate), { loud: 2e-3, quiet: 2e-3 })
      })
  }
})

describe('conversion to stereo matches the reference:', () => {
  for (const name of namesEndingIn('.in').filter((name) => name.startsWith('channels')))
    test(name, () => mel.expectClose(`${name}.out`, flat(toStereo(waveform(mel, `${name}.in`, options.sampleRate)))))
})

/** Absolute errors, as specified in the README of the set: `loud` where the golden value is above −6, `quiet` elsewhere. */
function expectLogMel(name: string, input: Waveform, tolerance: { loud: number; quiet: number }) {
  const { data, channels, frames, melBins } = logMel(input, options)
  expect([channels, frames, melBins]).toEqual(mel.shape(name))
  const errors = { loud: 0, quiet: 0 }
  mel.float32(name).forEach((expected, i) => {
    const level = expected > -6 ? 'loud' : 'quiet'
    errors[level] = Math.max(errors[level], Math.abs((data[i] as number) - expected))
  })
  expect(errors.loud, 'largest error above −6').toBeLessThanOrEqual(tolerance.loud)
  expect(errors.quiet, 'largest error elsewhere').toBeLessThanOrEqual(tolerance.quiet)
}

function namesEndingIn(ending: string): string[] {
  return mel.names.filter((name) => name.endsWith(ending)).map((name) => name.slice(0, -ending.length))
}

function waveform({ float32, shape }: Golden, name: string, sampleRate: number): Waveform {
  const [channels = 0, samples = 0] = shape(name)
  const data = float32(name)
  return {
    sampleRate,
    channels: Array.from({ length: channels }, (_, c) => data.subarray(c * samples, (c + 1) * samples)),
  }
}

const flat = ({ channels }: Waveform) => channels.flatMap((channel) => [...channel])

/** The mel options in the config of the golden checkpoint. */
function melOptions(): MelOptions {
  const checkpoint = openSafetensors(goldenPath('tiny-ltx-2.3.safetensors'))
  const { stft, mel } = JSON.parse(checkpoint.metadata.config ?? '').audio_vae.preprocessing
  const sampleRate = JSON.parse(checkpoint.metadata.config ?? '').audio_vae.preprocessing.audio.sampling_rate
  checkpoint.close()
  return { sampleRate, nFft: stft.filter_length, hop: stft.hop_length, melBins: mel.n_mel_channels }
}
