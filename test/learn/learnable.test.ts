import * as tf from '@tensorflow/tfjs'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { checkpointMetadata } from '../../scripts/base/configs.ts'
import { checkpointLayout } from '../../scripts/base/layout.ts'
import { tinySize } from '../../scripts/base/sizes.ts'
import { valuesOf } from '../../scripts/base/tensors.ts'
import { drawWeights } from '../../scripts/base/weights.ts'
import { isVaeWeight, loadHalves } from '../../scripts/learn/autoencoder.ts'
import { type Loader, learnable } from '../../scripts/learn/learnable.ts'
import { isStreamWeight, loadStream } from '../../scripts/learn/stream.ts'
import { isVocoderWeight, loadMainGenerator } from '../../scripts/learn/vocoding.ts'
import { startBackend } from '../../src/engine/backend.ts'

const metadata = checkpointMetadata(tinySize, 'a test')

beforeAll(() => startBackend('wasm'))
afterEach(() => tf.disposeVariables())

const components: [name: string, load: Loader<object>, isLearned: (name: string) => boolean, idle: RegExp][] = [
  // the encoder's log-variance head is left out when it is loaded
  ['the audio VAE', loadHalves, isVaeWeight, /encoder\.conv_out/],
  ['the vocoder', loadMainGenerator, isVocoderWeight, /nothing/],
  ['the audio stream', loadStream, isStreamWeight, /nothing/],
]

describe.each(components)('%s while it learns', (_, load, isLearned, idle) => {
  it('stores what it was loaded from as long as nothing was learned', () => {
    const tensors = drawWeights(checkpointLayout(tinySize))
    const before = new Map([...tensors.keys()].map((name) => [name, valuesOf(tensors, name)]))
    learnable(tensors, metadata, load, isLearned).store()
    const learned = [...before].filter(([name]) => isLearned(name) && !idle.test(name))
    expect(learned.length).toBeGreaterThan(10)
    for (const [name, values] of learned) expect(valuesOf(tensors, name), name).toEqual(values)
  })

  it('puts every change where its loader finds it again', () => {
    const tensors = drawWeights(checkpointLayout(tinySize))
    const first = learnable(tensors, metadata, load, isLearned)
    for (const [path, variable] of first.parameters) {
      const mask = first.masks.get(path) ?? tf.onesLike(variable)
      variable.assign(tf.mul(mask, tf.add(tf.mul(variable, 0), 0.5)))
    }
    const learned = new Map([...first.parameters].map(([path, variable]) => [path, variable.dataSync()]))
    first.store()
    tf.disposeVariables()
    for (const [path, variable] of learnable(tensors, metadata, load, isLearned).parameters)
      expect(variable.dataSync(), path).toEqual(learned.get(path))
  })
})

it('zeros that stand for no weight are masked', () => {
  const { masks } = learnable(drawWeights(checkpointLayout(tinySize)), metadata, loadMainGenerator, isVocoderWeight)
  expect([...masks.keys()]).toContain('stages.0.up.kernel') // eleven taps do not fill three rows of five
})
