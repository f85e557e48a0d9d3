/** The gradient of a block, compared with the automatic gradient of the same computation. */
import type * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, it, vi } from 'vitest'
import { capture } from '../../../src/engine/capture.ts'
import { differentiableOperations } from '../../../src/engine/composed-operations.ts'
import { currentOperations } from '../../../src/engine/current-operations.ts'
import type { Operations } from '../../../src/engine/operations.ts'
import { ropeTable } from '../../../src/model/rope.ts'
import { type Block, blockLinears } from '../../../src/model/transformer/block.ts'
import type { Checkpointing } from '../../../src/model/transformer/checkpointing.ts'
import { applyBlock, type BatchInputs, streamInputs } from '../../../src/model/transformer/residual-stream.ts'
import {
  autodiff,
  backends,
  expectAllClose,
  factorsOf,
  randomAttention,
  randomFeedForward,
  randomTensor,
  startInFloat32,
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
function randomInputs(batch: number): BatchInputs {
  const positions = Array.from({ length: tokens }, (_, i) => (i % 3) / 30)
  return {
    noisy,
    modulation: randomTensor('modulation', [2 * batch, 9 * width]),
    contextModulation: randomTensor('context modulation', [batch, 2 * width]),
    context: randomTensor('context', [batch, textTokens, contextWidth]),
    rope: ropeTable(positions, { heads, headDim: width / heads, theta: 100 }),
  }
}

type Options = {
  batch?: number
  checkpointing?: Checkpointing
  skipSelfAttention?: boolean
  captured?: boolean
  /** Whether TensorFlow.js computes the gradients, as in a training of the base. */
  trainsBase?: boolean
  ops?: Operations
}

/** The value of the block, and the gradients of x and of the factors of a LoRA. */
function valueAndGradients(layer: Block, options: Options): tf.Tensor[] {
  const { batch = 1, checkpointing = 'off', skipSelfAttention = false, captured = false, trainsBase = false } = options
  const { ops = trainsBase ? differentiableOperations : currentOperations() } = options
  const layers = blockLinears(layer)
  const x = randomTensor<tf.Rank.R3>('x', [batch, tokens, width])
  const dy = randomTensor('dy', x.shape)
  const compute = (x: tf.Tensor) => {
    const inputs = streamInputs(ops, { blocks: [layer], checkpointing, trainsBase }, randomInputs(batch))
    const apply = (x: tf.Tensor) => applyBlock(ops, layer, x as tf.Tensor3D, inputs, skipSelfAttention)
    const gradients = autodiff([x, ...factorsOf(layers)], dy, (x, ...factors) =>
      withFactors(layers, factors, () => apply(x as tf.Tensor)),
    )
    return Object.fromEntries([apply(x), ...gradients].map((result, i) => [String(i), result]))
  }
  if (!captured) return Object.values(compute(x))
  const graph = capture(({ x }: { x: tf.Tensor }) => compute(x))
  const results = graph.run({ x })
  graph.dispose()
  return Object.values(results) as tf.Tensor[]
}

const automatic = (layer: Block, options: Options) => valueAndGradients(layer, { ...options, trainsBase: true })

describe.each(backends)('the gradient of a block on %s', (backend) => {
  beforeAll(async () => {
    await startInFloat32(backend)
  })

  const eager = [1, 2].flatMap((batch) =>
    (['off', 'on'] as const).flatMap((checkpointing) =>
      [false, true].map((skipSelfAttention) => ({ batch, checkpointing, skipSelfAttention, captured: false })),
    ),
  )
  // a captured graph gets the inputs of each sample, and none of another sample
  const captured = eager.filter(({ batch }) => batch === 2).map((options) => ({ ...options, captured: true }))
  it.each(backend === 'tensorflow' ? [...eager, ...captured] : eager)(
    'equals the automatic gradient: captured $captured, checkpointing $checkpointing, batch $batch, skipSelfAttention $skipSelfAttention',
    ({ captured, ...options }) => {
      const layer = randomBlock()
      // queries and keys of self-attention are not used when it is skipped
      const zeros = options.skipSelfAttention ? 4 : 0
      expectAllClose(valueAndGradients(layer, { ...options, captured }), automatic(layer, options), { zeros })
    },
  )

  it('equals the automatic gradient without a LoRA', () => {
    const layer = randomBlock(0)
    for (const checkpointing of ['off', 'on'] as const)
      expectAllClose(valueAndGradients(layer, { checkpointing }), automatic(layer, {}))
  })

  it('contains the factors of a LoRA on some of its layers', () => {
    for (const kept of ['query', 'key', 'value', 'output'] as const) {
      const layer = randomBlock()
      for (const { lora, ...rest } of blockLinears(layer)) expect(lora, rest.name).toBeDefined()
      for (const linear of blockLinears(layer))
        if (linear !== layer.crossAttention[kept] && linear !== layer.selfAttention[kept]) delete linear.lora
      const [expected, actual] = [automatic(layer, {}), valueAndGradients(layer, {})]
      expect(actual).toHaveLength(2 + 4)
      expectAllClose(actual, expected)
    }
  })

  it('computes activations again only with checkpointing', () => {
    const layer = randomBlock()
    const attentions = (checkpointing: Checkpointing) => {
      const attention = vi.fn(currentOperations().attention)
      valueAndGradients(layer, { checkpointing, ops: { ...currentOperations(), attention } })
      return attention.mock.calls.length
    }
    // the value alone, and the value again with its gradient: two attentions each
    expect(attentions('off')).toBe(4)
    expect(attentions('on')).toBe(6)
  })
})
