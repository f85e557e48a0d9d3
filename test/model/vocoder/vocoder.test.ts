import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, it } from 'vitest'
import { openSafetensors } from '../../../src/formats/safetensors.ts'
import { readModelConfig, type VocoderConfig } from '../../../src/model/config.ts'
import { disposeVocoder, loadVocoder, vocode, vocodeBatch } from '../../../src/model/vocoder/vocoder.ts'
import { weightsOf } from '../../../src/model/weights.ts'
import { goldenPath, startGoldenBackend } from '../../golden/golden.ts'

const checkpoint = openSafetensors(goldenPath('tiny-ltx-2.3.safetensors'))
const weights = weightsOf(checkpoint, 'vocoder.')
const config = readModelConfig(checkpoint).vocoder as VocoderConfig
const [width, merged, taps] = weights.shape('vocoder.conv_pre.weight') as [number, number, number]
const level = (value: number, frames: number) => tf.fill<tf.Rank.R4>([1, 2, frames, merged / 2], value)
const samplesPerFrame =
  (config.vocoder.upsample_rates.reduce((product, rate) => product * rate) * config.bwe.output_sampling_rate) /
  config.bwe.input_sampling_rate

describe('the vocoder', () => {
  beforeAll(startGoldenBackend)

  it('outputs the expected number of samples per mel frame in both channels without leaking tensors', async () => {
    const before = tf.memory().numTensors
    const vocoder = loadVocoder(weights, config)
    const mel = level(-3, 11)
    const loaded = tf.memory().numTensors
    const { sampleRate, channels } = await vocode(vocoder, mel)
    expect(tf.memory().numTensors).toBe(loaded)
    expect(sampleRate).toBe(config.bwe.output_sampling_rate)
    expect(channels.map((channel) => channel.length)).toEqual([11 * samplesPerFrame, 11 * samplesPerFrame])
    tf.dispose(mel)
    disposeVocoder(vocoder)
    expect(tf.memory().numTensors).toBe(before)
  })

  it('processes the rows of a batch independently', () => {
    tf.tidy(() => {
      const vocoder = loadVocoder(weights, config)
      const mels = [level(-2, 3), level(-4, 3)]
      const together = vocodeBatch(vocoder, tf.concat(mels)).dataSync()
      const alone = mels.flatMap((mel) => [...vocodeBatch(vocoder, mel).dataSync()])
      expect(Math.max(...alone.map((sample, i) => Math.abs(sample - (together[i] as number))))).toBeLessThan(1e-5)
      disposeVocoder(vocoder)
    })
  })

  it('reports the tensor and both shapes when its width does not match the config', () => {
    const wider = {
      ...config,
      vocoder: { ...config.vocoder, upsample_initial_channel: 2 * width },
    }
    expect(() => loadVocoder(weights, wider)).toThrow(
      `vocoder.vocoder.conv_pre.weight in tiny-ltx-2.3.safetensors has the shape [${width},${merged},${taps}], not [${2 * width},any,any]`,
    )
  })
})
