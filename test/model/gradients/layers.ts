/** Random layers and tensors, and the comparison of a hand-written gradient with the automatic gradient of the same computation. */
import * as tf from '@tensorflow/tfjs'
import { expect } from 'vitest'
import { type BackendName, startBackend } from '../../../src/engine/backend.ts'
import { frozenMatrix } from '../../../src/engine/device-tensors.ts'
import { float32Bytes } from '../../../src/formats/dtypes.ts'
import type { Attention } from '../../../src/model/attention.ts'
import type { FeedForward } from '../../../src/model/feed-forward.ts'
import type { Linear } from '../../../src/model/layers.ts'
import { normals, randomFor } from '../../../src/platform/random.ts'
import { hasNative } from '../../engine/native.ts'
import { relativeError } from '../../golden/golden.ts'

export const backends: BackendName[] = ['wasm', 'cpu', ...(hasNative ? (['tensorflow'] as const) : [])]

/** In float32, in which gradients are precise enough to be compared. */
export const startInFloat32 = (name: BackendName) => startBackend(name, { precision: 'float32' })

const randomValues = (name: string, shape: readonly number[], scale: number) =>
  Float32Array.from(
    normals(
      randomFor(3, name),
      shape.reduce((product, size) => product * size, 1),
    ),
    (x) => x * scale,
  )

/** Normally distributed values with the given deviation. The same name gives the same values. */
export const randomTensor = <R extends tf.Rank>(name: string, shape: readonly number[], scale = 1) =>
  tf.tensor(randomValues(name, shape, scale), shape as never) as tf.Tensor<R>

export type LinearOptions = { bias?: boolean; rank?: number; scale?: number }

/** A rank of 0 means no LoRA. */
export function randomLinear(
  name: string,
  [inputs, outputs]: readonly [inputs: number, outputs: number],
  { bias = true, rank = 3, scale = 0.7 }: LinearOptions = {},
): Linear {
  const shape = [outputs, inputs]
  const bytes = float32Bytes(randomValues(`${name}.weight`, shape, 1 / Math.sqrt(inputs)))
  return {
    name,
    weight: frozenMatrix({ dtype: 'F32', shape, bytes }),
    ...(bias && { bias: randomTensor<tf.Rank.R1>(`${name}.bias`, [outputs], 0.3) }),
    ...(rank > 0 && {
      lora: {
        a: randomTensor<tf.Rank.R2>(`${name}.a`, [rank, inputs], 0.5),
        b: randomTensor<tf.Rank.R2>(`${name}.b`, [outputs, rank], 0.5),
        scale,
      },
    }),
  }
}

export const randomFeedForward = (width: number, inner: number, options?: LinearOptions): FeedForward => ({
  up: randomLinear('up', [width, inner], options),
  down: randomLinear('down', [inner, width], options),
})

export type AttentionOptions = LinearOptions & { heads: number; width: number; contextWidth?: number; gate?: boolean }

/** The weights of the norms of queries and keys are far from 1. */
export function randomAttention({ heads, width, contextWidth = width, gate = true, ...options }: AttentionOptions) {
  const layer: Attention = {
    heads,
    query: randomLinear('query', [width, width], options),
    key: randomLinear('key', [contextWidth, width], options),
    value: randomLinear('value', [contextWidth, width], options),
    output: randomLinear('output', [width, width], options),
    queryNorm: randomTensor('query norm', [width], 1.5),
    keyNorm: randomTensor('key norm', [width], 1.5),
    ...(gate && { gate: randomLinear('gate', [width, heads], { rank: 0 }) }),
  }
  return layer
}

/** The layers' factors, loraA and loraB of each. */
export const factorsOf = (layers: readonly Linear[]): tf.Tensor2D[] =>
  layers.flatMap(({ lora }) => (lora ? [lora.a, lora.b] : []))

/** Runs `compute` with the given LoRA factors in the layers, so that it can be differentiated with respect to them. */
export function withFactors<T>(layers: readonly Linear[], factors: readonly tf.Tensor[], compute: () => T): T {
  const remaining = [...factors]
  const before = layers.map(({ lora }) => lora)
  for (const layer of layers) {
    if (!layer.lora) continue
    const [a, b] = remaining.splice(0, 2) as [tf.Tensor2D, tf.Tensor2D]
    layer.lora = { ...layer.lora, a, b }
  }
  try {
    return compute()
  } finally {
    for (const [i, layer] of layers.entries()) {
      const lora = before[i]
      if (lora) layer.lora = lora
    }
  }
}

/**
 * The automatic gradients of Σ dy · y with respect to the inputs, which are the arguments of `compute`. They are zero for inputs that it does not
 * use.
 */
export const autodiff = (inputs: readonly tf.Tensor[], dy: tf.Tensor, compute: (...inputs: tf.Tensor[]) => tf.Tensor) =>
  tf.grads((...args: tf.Tensor[]) => {
    const loss = tf.sum(tf.mul(compute(...args), dy))
    return tf.addN([loss, ...args.map((input) => tf.mul(tf.sum(input), 0))])
  })([...inputs])

/**
 * Compares tensor by tensor, so that large tensors do not hide an error in a small tensor.
 * @param options.zeros how many of the tensors must be zero.
 */
export function expectAllClose(
  actual: readonly tf.Tensor[],
  expected: readonly tf.Tensor[],
  { tolerance = 2e-5, zeros = 0 } = {},
) {
  expect(actual.map(({ shape }) => shape)).toEqual(expected.map(({ shape }) => shape))
  const errors = actual.map((tensor, i) => relativeError(tensor.dataSync(), (expected[i] as tf.Tensor).dataSync()).max)
  for (const [i, error] of errors.entries()) expect(error, `tensor ${i} of ${errors.length}`).toBeLessThan(tolerance)
  expect(expected.filter((tensor) => tensor.dataSync().every((value) => value === 0))).toHaveLength(zeros)
}
