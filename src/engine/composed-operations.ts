/**
 * The operations of a transformer block, composed of primitives. The same composition serves every backend of TensorFlow.js; the primitives decide the
 * precision, and how products are computed.
 */
import * as tf from '@tensorflow/tfjs'
import { gelu, geluDerivative, inverseRms, rmsNormGradient, rotateHalves } from './activations.ts'
import { padRowsForMatMul } from './matmul.ts'
import { isNative } from './native.ts'
import type {
  AttentionGradientInputs,
  AttentionInputs,
  Layout,
  LinearGradient,
  LinearGradientInputs,
  LinearWeights,
  NormedQueryKey,
  Operations,
  QueryKeyTransform,
  Rows,
} from './operations.ts'
import { differentiablePrimitives, nativePrimitives, type Primitives, portablePrimitives } from './primitives.ts'

/** Operations that consist of primitives and of float32 functions of TensorFlow.js. They have gradients if the primitives have. */
export function composeOperations(primitives: Primitives): Operations {
  const { matMul, batchMatMul, weight, toMatrix, toFloat32, add, sub, mul, reshape, biasAdd } = primitives

  const linear = (layer: LinearWeights, x: tf.Tensor, { from, to }: Layout) => {
    const multiply = (x: tf.Tensor, matrix: tf.Tensor, from: Rows) =>
      to === 'tokens'
        ? matMul(x, matrix, { transposeA: from === 'features', transposeB: true })
        : matMul(matrix, x, { transposeB: from === 'tokens', sharedB: true })
    // the bias is added last: otherwise TensorFlow fuses MatMul, BiasAdd and Add into an op that lacks a kernel on some processors
    const addBias = (y: tf.Tensor2D) => {
      if (!layer.bias) return y
      const bias = toMatrix(layer.bias)
      return to === 'tokens' ? biasAdd(y, bias) : add(y, reshape(bias, [-1, 1]))
    }
    const product = multiply(x, weight(layer.weight), from)
    if (!layer.lora) return { y: addBias(product), saved: {} }
    const { a, b, scale } = layer.lora
    const down = multiply(x, toMatrix(a), from)
    const up = multiply(down, toMatrix(scaled(b, scale)), to)
    return { y: addBias(add(product, up)), saved: { down } }
  }

  const linearGradient = (
    layer: LinearWeights,
    { x, dy, saved: { down }, from, to, needsInputGradient }: LinearGradientInputs,
  ): LinearGradient => {
    const backward = (matrix: tf.Tensor, dy: tf.Tensor) =>
      from === 'tokens'
        ? matMul(dy, matrix, { transposeA: to === 'features' })
        : matMul(matrix, dy, { transposeA: true, transposeB: to === 'tokens' })
    const throughWeight = () => {
      const matrix = weight(layer.weight)
      const tokens = { axis: tokenAxis(to), features: matrix.shape[1], resultAxis: tokenAxis(from) }
      return padRowsForMatMul(dy as tf.Tensor2D, tokens, (dy) => backward(matrix, dy))
    }
    const dx = needsInputGradient ? throughWeight() : undefined
    if (!down || !layer.lora) return { ...(dx && { dx }), factors: [] }
    const { scale } = layer.lora
    const a = toMatrix(layer.lora.a)
    const b = toMatrix(scaled(layer.lora.b, scale))
    const dDown = to === 'tokens' ? matMul(dy, b) : matMul(b, dy, { transposeA: true })
    const da = matMul(dDown, x, { transposeA: to === 'tokens', transposeB: from === 'features' })
    const db = matMul(dy, down, { transposeA: to === 'tokens', transposeB: to === 'features' })
    const factors = [toFloat32(da), scaled(toFloat32(db), scale)]
    return { ...(dx && { dx: add(dx, backward(a, dDown)) }), factors }
  }

  const splitHeads = (x: tf.Tensor, heads: number) => {
    const [width, tokens] = x.shape as [number, number]
    return reshape(x, [heads, width / heads, tokens])
  }

  const joinHeads = (x: tf.Tensor) => {
    const [heads, headDim, tokens] = x.shape as [number, number, number]
    return reshape(x, [heads * headDim, tokens])
  }

  const normalizeQueryKey = (x: tf.Tensor): NormedQueryKey => {
    const inverse = inverseRms(toFloat32(x), 0)
    return { inverse, normed: toMatrix(tf.mul(toFloat32(x), inverse)) }
  }

  const scaleAndRotate = ({ normed }: NormedQueryKey, heads: number, { scale, rope }: QueryKeyTransform) => {
    if (!scale && !rope) return splitHeads(normed, heads)
    const scaled = splitHeads(scale ? tf.mul(toFloat32(normed), scale) : toFloat32(normed), heads)
    return toMatrix(rope ? rotateHalves(scaled, rope, 1) : scaled)
  }

  const scaleAndRotateGradient = (
    dy: tf.Tensor,
    { normed, inverse }: NormedQueryKey,
    { scale, rope }: QueryKeyTransform,
  ) => {
    const dScaled = rope ? rotateHalves(toFloat32(dy), { cos: rope.cos, sin: tf.neg(rope.sin) }, 1) : toFloat32(dy)
    const joined = tf.reshape(dScaled, normed.shape)
    return toMatrix(rmsNormGradient(scale ? tf.mul(joined, scale) : joined, toFloat32(normed), inverse, 0))
  }

  const attention = ({ query, key, value }: AttentionInputs) => {
    const scores = batchMatMul(query, key, { transposeA: true })
    const probabilities = toMatrix(tf.softmax(toFloat32(scores)))
    return { y: batchMatMul(value, probabilities, { transposeB: true }), saved: probabilities }
  }

  // softmax: dS = P · (dP − Σ dP · P); the sums over keys equal those of y · dy over the features of a head
  const attentionGradient = (inputs: AttentionGradientInputs) => {
    const { query, key, value, dy, sums, needs } = inputs
    const probabilities = inputs.saved as tf.Tensor // [H, N, S]
    const [heads] = query.shape as [number]
    const rowSums = reshape(toMatrix(sums), [heads, -1, 1])
    const dScores = mul(sub(batchMatMul(dy, value, { transposeA: true }), rowSums), probabilities)
    return {
      query: batchMatMul(key, dScores, { transposeB: true }),
      ...(needs.key && { key: batchMatMul(query, dScores) }),
      ...(needs.value && { value: batchMatMul(dy, probabilities) }),
    }
  }

  // gates = 2 · sigmoid(logits), whose derivative is gates · (1 − gates / 2)
  const gateHeadsGradient = (dy: tf.Tensor, y: tf.Tensor, gates: tf.Tensor | undefined) => {
    const dGated = reshape(dy, y.shape)
    const dGates = tf.sum(toFloat32(mul(dGated, y)), 1, true) // [H, 1, N]
    if (!gates) return { dHeads: dGated, sums: dGates }
    const factors = toFloat32(gates)
    const dLogits = tf.mul(dGates, tf.mul(factors, tf.sub(1, tf.div(factors, 2))))
    return {
      dHeads: mul(dGated, gates),
      dLogits: toMatrix(tf.squeeze<tf.Tensor2D>(dLogits, [1])),
      sums: tf.mul(dGates, factors),
    }
  }

  const modulate = (x: tf.Tensor, shift: tf.Tensor, scale: tf.Tensor) =>
    toMatrix(tf.add(tf.mul(x, tf.add(scale, 1)), shift))

  const modulatedNormGradient = (dy: tf.Tensor, x: tf.Tensor, scale: tf.Tensor) => {
    const inverse = inverseRms(x, 1)
    return rmsNormGradient(tf.mul(toFloat32(dy), tf.add(scale, 1)), tf.mul(x, inverse), inverse, 1)
  }

  return {
    ...{ linear, linearGradient, splitHeads, joinHeads, normalizeQueryKey, scaleAndRotate, scaleAndRotateGradient },
    ...{ attention, attentionGradient, gateHeadsGradient, modulate, modulatedNormGradient },
    headGates: (logits) => toMatrix(tf.expandDims(tf.mul(tf.sigmoid(toFloat32(logits)), 2), 1)),
    gateHeads: (y, gates) => joinHeads(gates ? mul(y, gates) : y),
    modulatedNorm: (x, shift, scale) => modulate(tf.mul(x, inverseRms(x, 1)), shift, scale),
    addGated: (x, gate, y) => tf.add(x, tf.mul(gate, toFloat32(y))),
    gatedGradient: (dy, gate) => toMatrix(tf.mul(dy, gate)),
    gelu: (x) => toMatrix(gelu(toFloat32(x))),
    geluGradient: (dy, x) => toMatrix(tf.mul(toFloat32(dy), geluDerivative(toFloat32(x)))),
    sum: ([first, ...others]) => others.reduce((total, part) => add(total, part), first as tf.Tensor),
    ...{ toMatrix, toFloat32 },
    levels: primitives.levels,
    rowsOfLevels: primitives.rowsOfLevels,
  }
}

const tokenAxis = (rows: Rows): 0 | 1 => (rows === 'tokens' ? 0 : 1)

const scaled = (x: tf.Tensor2D, scale: number): tf.Tensor2D => (scale === 1 ? x : tf.mul(x, scale))

const portableOperations = composeOperations(portablePrimitives)

/** In float32, on every backend, with functions that have gradients. */
export const differentiableOperations = composeOperations(differentiablePrimitives)

const nativeOperations = composeOperations(nativePrimitives)

/** The operations of the current backend. */
export const currentOperations = (): Operations => (isNative() ? nativeOperations : portableOperations)
