/** The fused ops for the audio VAE and the vocoder, compared with the same computations without them. */
import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, it } from 'vitest'
import { rmsNormSilu } from '../../src/engine/activations.ts'
import { startBackend } from '../../src/engine/backend.ts'
import { conv1d, conv2d } from '../../src/engine/convolution.ts'
import { fusedConvolution, fusedSnake } from '../../src/engine/fused-audio.ts'
import { cast } from '../../src/engine/native.ts'
import { expectSame, testFusedSnake, tolerance } from '../engine/fused-snake.ts'
import { hasFusedConvolution, hasFusedOps } from '../engine/native.ts'
import { randomTensor } from '../model/gradients/layers.ts'
import { needs } from '../needs.ts'

const rounded = <T extends tf.Tensor>(x: T): T => cast(cast(x, 'bfloat16'), 'float32')

const conv2dCases = [
  {
    name: 'sizes that fill no tile',
    x: [1, 7, 5, 3],
    kernel: [3, 3, 3, 7],
    padding: [
      [2, 0],
      [1, 1],
    ],
  },
  {
    name: 'several images',
    x: [3, 9, 4, 40],
    kernel: [3, 3, 40, 33],
    padding: [
      [2, 0],
      [1, 1],
    ],
  },
  {
    name: 'a kernel of one position',
    x: [2, 6, 6, 64],
    kernel: [1, 1, 64, 32],
    padding: [
      [0, 0],
      [0, 0],
    ],
  },
  {
    name: 'more positions than one task has',
    x: [1, 90, 64, 32],
    kernel: [3, 3, 32, 64],
    padding: [
      [1, 1],
      [1, 1],
    ],
  },
  {
    name: 'more channels than one pass has',
    x: [1, 5, 5, 300],
    kernel: [2, 3, 300, 70],
    padding: [
      [0, 0],
      [2, 1],
    ],
  },
] as const

const conv1dCases = [
  { name: 'a single sample', x: [1, 1, 2], taps: 3, outputs: 2, dilation: 1 },
  { name: 'dilation', x: [2, 50, 16], taps: 7, outputs: 24, dilation: 5 },
  { name: 'a long signal', x: [1, 9001, 24], taps: 11, outputs: 24, dilation: 3 },
  { name: 'no output channel more than one', x: [2, 33, 65], taps: 4, outputs: 1, dilation: 1 },
] as const

describe.skipIf(!hasFusedConvolution)('a fused convolution', needs('a processor with AMX'), () => {
  beforeAll(() => startBackend('tensorflow', { precision: 'float32' }))

  describe.each([
    ['a kernel of bfloat16', rounded],
    ['a kernel of float32', <T extends tf.Tensor>(x: T) => x],
  ])('with %s', (_, prepare) => {
    it.each(conv2dCases)('over two axes, with $name', ({ x, kernel, padding }) => {
      const [input, weight] = [randomTensor<tf.Rank.R4>('x', x), prepare(randomTensor<tf.Rank.R4>('kernel', kernel))]
      const bias = randomTensor<tf.Rank.R1>('bias', [kernel[3]])
      expectSame(() => conv2d(input, weight, { padding }), tolerance)
      expectSame(() => conv2d(input, weight, { padding, bias }), tolerance)
      const residual = randomTensor('residual', conv2d(input, weight, { padding }).shape)
      expectSame(() => conv2d(input, weight, { padding, bias, residual }), tolerance)
      expectSame(() => conv2d(input, weight, { padding, residual }), tolerance)
    })

    it.each(conv1dCases)('over time, with $name', ({ x, taps, outputs, dilation }) => {
      const [input, weight] = [
        randomTensor<tf.Rank.R3>('x', x),
        prepare(randomTensor<tf.Rank.R3>('k', [taps, x[2], outputs])),
      ]
      const reach = (taps - 1) * dilation
      const bias = randomTensor<tf.Rank.R1>('bias', [outputs])
      const padding = [Math.ceil(reach / 2), Math.floor(reach / 2)] as const
      expectSame(() => conv1d(input, weight, { padding, bias, dilation }), tolerance)
      const residual = randomTensor('residual', [x[0], x[1], outputs])
      expectSame(() => conv1d(input, weight, { padding, bias, residual, dilation }), tolerance)
    })
  })

  it('is exact for integers that need all bits of float32', () => {
    const x = tf.tensor4d([2 ** 24 - 1, -(2 ** 23 + 1), 12_345_677, 1], [1, 2, 2, 1])
    const copy = tf.tensor4d([1], [1, 1, 1, 1])
    expect([...conv2d(x, copy).dataSync()]).toEqual([...x.dataSync()])
    expect([...conv2d(copy, tf.reshape(x, [1, 1, 1, 4]) as tf.Tensor4D).dataSync()]).toEqual([...x.dataSync()])
  })

  it('what is infinite or not a number reaches its own outputs only', () => {
    const x = tf.tensor3d([0, Number.POSITIVE_INFINITY, 0, 0, 0, Number.NaN, 0, 0], [1, 8, 1])
    const y = conv1d(x, tf.ones([1, 1, 1])).dataSync()
    expect([...y].map(Number.isFinite)).toEqual([true, false, true, true, true, false, true, true])
  })

  it('an input that does not fit is an error, not a crash', () => {
    const [x, kernel] = [tf.ones<tf.Rank.R4>([1, 4, 4, 3]), tf.ones<tf.Rank.R4>([3, 3, 3, 5])]
    const none = [0, 0] as const
    const run = (input: tf.Tensor4D, terms: tf.Tensor[], dilation = 1) =>
      fusedConvolution(input, kernel, terms, { padding: [none, none], dilation })
    expect(() => run(tf.ones([1, 4, 4, 2]), [])).toThrow('the shapes of the inputs do not fit')
    expect(() => run(tf.ones([1, 2, 4, 3]), [])).toThrow('the kernel does not fit into the input')
    expect(() => run(x, [], 2)).toThrow('the kernel does not fit into the input')
    expect(() => run(x, [], 0)).toThrow('the kernel does not fit into the input')
    for (const [channels, shape] of [
      [3, [0, 3, 3, 5]],
      [3, [3, 0, 3, 5]],
      [0, [3, 3, 0, 5]],
    ] as const) {
      const empty = tf.zeros<tf.Rank.R4>([...shape])
      const input = tf.zeros<tf.Rank.R4>([1, 4, 4, channels])
      expect(() => fusedConvolution(input, empty, [], { padding: [none, none], dilation: 1 })).toThrow(
        'the shapes of the inputs do not fit',
      )
    }
    expect(() => run(x, [tf.ones([4])])).toThrow('an input has an unexpected shape')
    expect(() => run(x, [tf.ones([1, 4, 4, 5])])).toThrow('an input has an unexpected shape')
    expect(fusedConvolution(tf.ones([0, 4, 4, 3]), kernel, [], { padding: [none, none], dilation: 1 }).shape).toEqual([
      0, 2, 2, 5,
    ])
  })
})

describe.skipIf(!hasFusedOps)('fused activations', needs('a processor, and an addon with fused ops'), () => {
  beforeAll(() => startBackend('tensorflow', { precision: 'float32' }))

  it.each([[[5, 1]], [[2, 3, 7, 40]], [[1, 300, 64, 128]]])('SiLU of the RMS norm of %j', (shape) => {
    const x = randomTensor('x', shape, 3)
    expectSame(() => rmsNormSilu(x), tolerance)
  })

  testFusedSnake()

  it('an input that does not fit is an error, not a crash', () => {
    const layer = {
      up: tf.ones<tf.Rank.R1>([12]),
      down: tf.ones<tf.Rank.R1>([12]),
      frequency: tf.ones<tf.Rank.R1>([3]),
    }
    expect(() => fusedSnake(tf.ones([1, 4, 3]), { ...layer, gain: tf.ones([2]) })).toThrow('unexpected shape')
    expect(() => fusedSnake(tf.ones([1, 4, 3]), { ...layer, up: tf.ones([8]), gain: tf.ones([3]) })).toThrow(
      'unexpected shape',
    )
    expect(fusedSnake(tf.ones([1, 0, 3]), { ...layer, gain: tf.ones([3]) }).shape).toEqual([1, 0, 3])
  })
})
