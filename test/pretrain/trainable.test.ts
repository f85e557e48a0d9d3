import * as tf from '@tensorflow/tfjs'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { checkpointMetadata } from '../../scripts/base/configs.ts'
import { checkpointLayout } from '../../scripts/base/layout.ts'
import { tinySize } from '../../scripts/base/sizes.ts'
import { valuesOf } from '../../scripts/base/tensors.ts'
import { initWeights } from '../../scripts/base/weights.ts'
import { isVaeWeight, loadEncoderAndDecoder } from '../../scripts/pretrain/audio-vae.ts'
import { type Loader, makeTrainable } from '../../scripts/pretrain/trainable.ts'
import { isTransformerWeight, loadAudioStream } from '../../scripts/pretrain/transformer.ts'
import { startBackend } from '../../src/engine/backend.ts'

const metadata = checkpointMetadata(tinySize, 'a test')

beforeAll(() => startBackend('wasm'))
afterEach(() => tf.disposeVariables())

const components: [name: string, load: Loader<object>, isLearned: (name: string) => boolean, idle: RegExp][] = [
  // the encoder's log-variance head is left out when it is loaded
  ['the audio VAE', loadEncoderAndDecoder, isVaeWeight, /encoder\.conv_out/],
  ['the audio stream', loadAudioStream, isTransformerWeight, /nothing/],
]

describe.each(components)('%s, made trainable,', (_, load, isLearned, idle) => {
  it('stores the weights it was loaded from if they were not trained', () => {
    const tensors = initWeights(checkpointLayout(tinySize))
    const before = new Map([...tensors.keys()].map((name) => [name, valuesOf(tensors, name)]))
    makeTrainable(tensors, metadata, load, isLearned).store()
    const learned = [...before].filter(([name]) => isLearned(name) && !idle.test(name))
    expect(learned.length).toBeGreaterThan(10)
    for (const [name, values] of learned) expect(valuesOf(tensors, name), name).toEqual(values)
  })

  it('stores every change where its loader reads it', () => {
    const tensors = initWeights(checkpointLayout(tinySize))
    const first = makeTrainable(tensors, metadata, load, isLearned)
    for (const [path, variable] of first.parameters) {
      variable.assign(tf.fill(variable.shape, 0.5 + (path.length % 32) / 64))
    }
    const learned = new Map([...first.parameters].map(([path, variable]) => [path, variable.dataSync()]))
    first.store()
    tf.disposeVariables()
    for (const [path, variable] of makeTrainable(tensors, metadata, load, isLearned).parameters)
      expect(variable.dataSync(), path).toEqual(learned.get(path))
  })
})
