import * as tf from '@tensorflow/tfjs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openBase } from '../../src/model/base-model.ts'
import type { VocoderConfig } from '../../src/model/config.ts'
import { activate, loadActivation } from '../../src/model/vocoder/generator.ts'
import { createSincUpsampler, sincTaps, upsample } from '../../src/model/vocoder/resampling.ts'
import { disposeVocoder, loadVocoder, type Vocoder, vocode, vocodeBatch } from '../../src/model/vocoder/vocoder.ts'
import { goldenSets, startGoldenBackend } from './golden.ts'

describe.each(goldenSets)('$name', (set) => {
  const reference = set.numbers('vocoder.safetensors')
  const base = openBase(set.base)
  const weights = base.components.vocoder
  const config = base.config.vocoder as VocoderConfig

  /** The stage and mel of each reference tensor: `m9.stage.up0` is stage `up0` of `m9`. */
  const stages = reference.names.flatMap((name) => {
    const [, mel, stage] = /^(m\d+)\.(?:stage\.)?(.+)$/.exec(name) ?? []
    return mel && stage && stage !== 'mel' ? [{ name, mel, stage }] : []
  })
  const mels = [...new Set(stages.map(({ mel }) => mel))]
  const inputs = (pattern: RegExp) =>
    reference.names.flatMap((name) => (name.endsWith('.in') && pattern.test(name) ? [name.slice(0, -3)] : []))

  /** The signals are `[B, C, N]` in the reference and `[B, N, C]` here. */
  const swapped = (x: tf.Tensor3D): tf.Tensor3D => tf.transpose(x, [0, 2, 1])
  const signal = (name: string) =>
    tf.tidy(() => swapped(tf.tensor3d(reference.float32(name), reference.shape(name) as [number, number, number])))
  const mel = (name: string) =>
    tf.tensor4d(reference.float32(`${name}.mel`), reference.shape(`${name}.mel`) as [number, number, number, number])
  /** In the layout of the reference; kept, so that it can be read after `tf.tidy`. */
  const kept = (x: tf.Tensor) => tf.keep(x.rank === 3 ? swapped(x as tf.Tensor3D) : x.clone())

  let vocoder: Vocoder
  beforeAll(async () => {
    await startGoldenBackend()
    vocoder = loadVocoder(weights, config)
  })
  afterAll(() => disposeVocoder(vocoder))

  describe('the vocoder against the reference', () => {
    it.each(mels)('matches every stage for %s', async (name) => {
      const outputs = new Map<string, tf.Tensor>()
      tf.tidy(() => vocodeBatch(vocoder, mel(name), (stage, x) => outputs.set(stage, kept(x))))
      for (const { name: tensor, stage } of stages.filter((stage) => stage.mel === name)) {
        const output = outputs.get(stage)
        if (!output) throw new Error(`the vocoder has no stage ${stage}`)
        await reference.expectTensor(tensor, output)
      }
      tf.dispose([...outputs.values()])
    })

    it.each(mels)('generates the same waveform for %s', async (name) => {
      const input = mel(name)
      const { sampleRate, channels } = await vocode(vocoder, input)
      input.dispose()
      expect(sampleRate).toBe(config.bwe.output_sampling_rate)
      reference.expectClose(
        `${name}.wave48k`,
        channels.flatMap((channel) => [...channel]),
      )
    })

    it.each(inputs(/^act/))('computes the same activation of %s', async (name) => {
      const channels = reference.shape(`${name}.in`)[1] as number
      const layer = loadActivation(weights.at('vocoder.resblocks.0.acts1.0'), channels)
      const output = tf.tidy(() => kept(activate(layer, signal(`${name}.in`))))
      await reference.expectTensor(`${name}.out`, output)
      tf.dispose([layer, output])
    })

    it.each(inputs(/^up3_/))('computes the same resampling of %s', async (name) => {
      const layer = createSincUpsampler(3, reference.shape(`${name}.in`)[1] as number)
      const output = tf.tidy(() => kept(upsample(layer, signal(`${name}.in`))))
      await reference.expectTensor(`${name}.out`, output)
      tf.dispose([layer, output])
    })

    it.each(reference.names.filter((name) => name === 'up3.filter'))(
      'computes the same resampling filter as %s',
      (name) => {
        reference.expectClose(name, sincTaps(3))
      },
    )

    it('is compared in all tensors of the golden set', () => {
      const compared = new Set(['up3.filter', ...stages.map(({ name }) => name), ...mels.map((name) => `${name}.mel`)])
      for (const name of inputs(/^(act|up3_)/)) compared.add(`${name}.in`).add(`${name}.out`)
      expect(reference.names.filter((name) => !compared.has(name))).toEqual([])
    })
  })
})
