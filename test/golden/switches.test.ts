/** A transformer of LTX-2.5 whose switches are all off: feed-forward layers without biases, and a context that sigma does not modulate. */
import * as tf from '@tensorflow/tfjs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loraTargetModules } from '../../src/config/parameters.ts'
import { openBase } from '../../src/model/base-model.ts'
import { attachNewLora, findTargetLinears } from '../../src/model/lora.ts'
import { frameCenterSeconds } from '../../src/model/rope.ts'
import { loadConnector, runConnector } from '../../src/model/text/connector.ts'
import { loadTransformer, type Transformer, tokenRope, velocity } from '../../src/model/transformer/transformer.ts'
import { randomFor } from '../../src/platform/random.ts'
import { meanGradients } from '../../src/train/step.ts'
import { ltx25, startGoldenBackend } from './golden.ts'

const flags = ltx25.numbers('flags.safetensors')
const adapters = ltx25.numbers('train.safetensors')
const [, audioVae] = ltx25.base.model.split(',')
const base = openBase({ ...ltx25.base, model: `${ltx25.onlyFileIn('base-flags')},${audioVae}` })
const { tensor } = flags

let model: Transformer
beforeAll(async () => {
  await startGoldenBackend()
  model = loadTransformer(base.components.transformer, base.config.transformer)
})
afterAll(base.close)

const [batch = 0, tokens = 0] = flags.shape('latent')
const [, targets = 0] = flags.shape('target')

/** Reference tokens, which are clean, before target tokens. */
function input() {
  const references = tokens - targets
  const seconds = [...frameCenterSeconds(references), ...frameCenterSeconds(targets)]
  return {
    tokens: tensor<tf.Rank.R3>('latent'),
    sigma: tensor<tf.Rank.R1>('sigma'),
    noisy: Array.from({ length: tokens }, (_, i): 0 | 1 => (i < references ? 0 : 1)),
    rope: tokenRope(base.config.transformer, seconds),
    context: tensor<tf.Rank.R3>('context'),
  }
}

/** The mean squared error over the target tokens. */
function loss(): tf.Scalar {
  const predicted = tf.slice(velocity(model, input()), [0, tokens - targets, 0], [batch, targets, -1])
  return tf.mean(tf.squaredDifference(predicted, tensor('target')))
}

describe('a transformer with all switches off', () => {
  it('has them in its config', () => {
    const { audio_ff_bias, connector_ff_bias, use_prompt_adaln_single } = base.config.transformer
    expect({ audio_ff_bias, connector_ff_bias, use_prompt_adaln_single }).toEqual({
      audio_ff_bias: false,
      connector_ff_bias: false,
      use_prompt_adaln_single: false,
    })
  })

  it('has the velocity of the reference', async () => {
    await flags.expectTensor('velocity', velocity(model, input()))
  })

  it('has the context of the reference', async () => {
    const connector = loadConnector(base.components.connector, base.config.transformer)
    const features = tf.squeeze<tf.Tensor2D>(tensor('features'), [0])
    const rows = tf.tensor1d([...flags.float32('context_rows')], 'int32')
    await flags.expectTensor('context_out', tf.gather(runConnector(connector, features), rows))
  })

  it('has the loss and the gradients of the reference with a LoRA', async () => {
    const linears = findTargetLinears(model, loraTargetModules)
    const [rank = 0] = adapters.shape(`diffusion_model.${linears[0]?.name}.lora_A.weight`)
    const parameters = attachNewLora(linears, rank, rank, randomFor(1, 'lora'))
    for (const [name, parameter] of parameters) parameter.assign(adapters.tensor(name))
    await flags.expectTensor('lora.velocity', velocity(model, input()))
    const { loss: value, gradients } = await meanGradients(parameters, [loss])
    flags.expectClose('lora.loss', [value])
    const graded = flags.names.filter((name) => name.startsWith('lora.grad.'))
    expect(graded.length).toBeGreaterThan(0)
    for (const name of graded) await flags.expectTensor(name, gradients.get(name.slice(10)) as tf.Tensor)
  })
})
