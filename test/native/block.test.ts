/** The native block in float32, compared with the automatic gradients of the portable block. */
import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, it } from 'vitest'
import { startBackend } from '../../src/engine/backend.ts'
import { capture } from '../../src/engine/capture.ts'
import type { Linear } from '../../src/model/layers.ts'
import { ropeTable } from '../../src/model/rope.ts'
import { type Block, type BlockInputs, block, blockLinears } from '../../src/model/transformer/block.ts'
import type { Checkpointing } from '../../src/model/transformer/checkpointing.ts'
import { nativeBlock } from '../../src/model/transformer/native/block.ts'
import { nativeBlockInputs } from '../../src/model/transformer/native/block-inputs.ts'
import { hasNative } from '../engine/native.ts'
import {
  autodiff,
  expectAllClose,
  factorsOf,
  randomAttention,
  randomFeedForward,
  randomTensor,
  withFactors,
} from './layers.ts'

const [heads, width, contextWidth, textTokens] = [2, 12, 12, 5]
const noisy = [0, 0, 0, 1, 1, 1, 1] as const // a reference of three tokens before a target of four
const tokens = noisy.length

const randomBlock = (rank = 3): Block => ({
  selfAttention: randomAttention({ heads, width, rank }),
  crossAttention: randomAttention({ heads, width, contextWidth, rank }),
  feedForward: randomFeedForward(width, 20, { rank }),
  scaleShiftTable: randomTensor('table', [9, width], 0.5),
  contextScaleShiftTable: randomTensor('context table', [2, width], 0.5),
})

/** Two noise levels per sample, as the transformer computes them. */
function randomInputs(batch: number): BlockInputs {
  const positions = Array.from({ length: tokens }, (_, i) => (i % 3) / 30)
  return {
    toTokens: (rows) =>
      tf.gather(tf.reshape<tf.Rank.R3>(rows, [batch, 2, -1]), tf.tensor1d([...noisy], 'int32'), 1) as tf.Tensor3D,
    modulation: randomTensor('modulation', [2 * batch, 9 * width]),
    contextModulation: randomTensor('context modulation', [batch, 2 * width]),
    context: randomTensor('context', [batch, textTokens, contextWidth]),
    rope: ropeTable(positions, { heads, headDim: width / heads, theta: 100 }),
  }
}

type Options = { batch?: number; checkpointing?: Checkpointing; skipSelfAttention?: boolean; captured?: boolean }

/** The value of the block, and the gradients of x and of the layers' factors. */
function valueAndGradients(layers: readonly Linear[], x: tf.Tensor3D, compute: (x: tf.Tensor3D) => tf.Tensor) {
  const dy = randomTensor('dy', x.shape)
  const gradients = autodiff([x, ...factorsOf(layers)], dy, (x, ...factors) =>
    withFactors(layers, factors, () => compute(x as tf.Tensor3D)),
  )
  return [compute(x), ...gradients]
}

const portable = (layer: Block, { batch = 1, skipSelfAttention = false }: Options) => {
  const inputs = randomInputs(batch)
  const x = randomTensor<tf.Rank.R3>('x', [batch, tokens, width])
  return valueAndGradients(blockLinears(layer), x, (x) => block(layer, x, inputs, skipSelfAttention))
}

function native(layer: Block, options: Options) {
  const { batch = 1, checkpointing = 'off', skipSelfAttention = false, captured = false } = options
  const { toTokens, ...inputs } = randomInputs(batch)
  const x = randomTensor<tf.Rank.R3>('x', [batch, tokens, width])
  const compute = (x: tf.Tensor3D) => {
    const blockInputs = nativeBlockInputs({ blocks: [layer], checkpointing }, { ...inputs, noisy })
    const results = valueAndGradients(blockLinears(layer), x, (x) =>
      nativeBlock(layer, x, blockInputs, skipSelfAttention),
    )
    return Object.fromEntries(results.map((result, i) => [String(i), result]))
  }
  if (!captured) return Object.values(compute(x))
  const graph = capture(({ x }: { x: tf.Tensor }) => compute(x as tf.Tensor3D))
  const results = graph.run({ x })
  graph.dispose()
  return Object.values(results) as tf.Tensor[]
}

describe.skipIf(!hasNative)('the block on native TensorFlow in float32', () => {
  beforeAll(async () => {
    await startBackend('tensorflow', { precision: 'float32' })
  })

  const eager = [1, 2].flatMap((batch) =>
    (['off', 'on'] as const).flatMap((checkpointing) =>
      [false, true].map((skipSelfAttention) => ({ batch, checkpointing, skipSelfAttention, captured: false })),
    ),
  )
  // a captured graph gets the inputs of each sample, and none of another sample
  const captured = eager.filter(({ batch }) => batch === 2).map((options) => ({ ...options, captured: true }))
  it.each([...eager, ...captured])(
    'has the value and gradients of the portable block: captured $captured, checkpointing $checkpointing, batch $batch, skipSelfAttention $skipSelfAttention',
    (options) => {
      const layer = randomBlock()
      // queries and keys of self-attention are not used when it is skipped
      expectAllClose(native(layer, options), portable(layer, options), { zeros: options.skipSelfAttention ? 4 : 0 })
    },
  )

  it('has the gradient of x without a LoRA', () => {
    const layer = randomBlock(0)
    for (const checkpointing of ['off', 'on'] as const)
      expectAllClose(native(layer, { checkpointing }), portable(layer, {}))
  })

  it('has the gradients of a LoRA on some of its layers', () => {
    for (const kept of ['query', 'key', 'value', 'output'] as const) {
      const layer = randomBlock()
      for (const { lora, ...rest } of blockLinears(layer)) expect(lora, rest.name).toBeDefined()
      for (const linear of blockLinears(layer))
        if (linear !== layer.crossAttention[kept] && linear !== layer.selfAttention[kept]) delete linear.lora
      const [expected, actual] = [portable(layer, {}), native(layer, {})]
      expect(actual).toHaveLength(2 + 4)
      expectAllClose(actual, expected)
    }
  })

  it('recomputes its activations only with checkpointing', async () => {
    const layer = randomBlock()
    const softmaxes = async (checkpointing: Checkpointing) => {
      const { kernels } = await tf.profile(() => native(layer, { checkpointing })[0] as tf.Tensor)
      return kernels.filter(({ name }) => name === 'Softmax').length
    }
    // the value alone, and the value again with its gradient: two attentions each
    expect(await softmaxes('off')).toBe(4)
    expect(await softmaxes('on')).toBe(6)
  })
})
