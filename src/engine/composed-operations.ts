/**
 * The operations of a transformer block, composed of primitives. The same composition serves every backend of TensorFlow.js; the primitives decide the
 * precision, and how products are computed.
 */
import * as tf from '@tensorflow/tfjs'
import { gelu, geluDerivative, inverseRms, rmsNormGradient, rotateHalves } from './activations.ts'
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
  TokenRows,
} from './operations.ts'
import {
  differentiablePrimitives,
  nativePrimitives,
  type Primitives,
  type Product,
  portablePrimitives,
} from './primitives.ts'

/** Operations that consist of primitives and of float32 functions of TensorFlow.js. They have gradients if the primitives have. */
export function composeOperations(primitives: Primitives): Operations {
  const {
    matMul,
    batchMatMul,
    weight,
    factor,
    toMatrix,
    toFloat32,
    add,
    sub,
    mul,
    reshape,
    sumOfProducts,
    matMulToFloat32,
  } = primitives

  const linear = (layer: LinearWeights, x: tf.Tensor, { from, to }: Layout) => {
    const product = (x: tf.Tensor, matrix: tf.Tensor, from: Rows): Product =>
      to === 'tokens'
        ? { a: x, b: matrix, transposeA: from === 'features', transposeB: true }
        : { a: matrix, b: x, transposeB: from === 'tokens', sharedB: true }
    const bias = layer.bias && { values: layer.bias, rows: to }
    const products = [product(x, weight(layer.weight), from)]
    if (!layer.lora) return { y: sumOfProducts(products, bias), saved: {} }
    const { a, b, scale } = layer.lora
    const down = sumOfProducts([product(x, factor(a), from)])
    products.push(product(down, factor(scaled(b, scale)), to))
    return { y: sumOfProducts(products, bias), saved: { down } }
  }

  const linearGradient = (
    layer: LinearWeights,
    { x, dy, saved: { down }, from, to, needsInputGradient }: LinearGradientInputs,
  ): LinearGradient => {
    const backward = (matrix: tf.Tensor, dy: tf.Tensor): Product =>
      from === 'tokens'
        ? { a: dy, b: matrix, transposeA: to === 'features' }
        : { a: matrix, b: dy, transposeA: true, transposeB: to === 'tokens' }
    const products: Product[] = []
    if (needsInputGradient)
      products.push({ ...backward(weight(layer.weight), dy), padded: from === 'tokens' ? 'a' : 'b' })
    if (!down || !layer.lora) return { ...(needsInputGradient && { dx: sumOfProducts(products) }), factors: [] }
    const { scale } = layer.lora
    const a = factor(layer.lora.a)
    const b = factor(scaled(layer.lora.b, scale))
    const dDown = to === 'tokens' ? matMul(dy, b) : matMul(b, dy, { transposeA: true })
    const da = matMulToFloat32(dDown, x, { transposeA: to === 'tokens', transposeB: from === 'features' })
    const db = matMulToFloat32(dy, down, { transposeA: to === 'tokens', transposeB: to === 'features' })
    products.push(backward(a, dDown))
    return { ...(needsInputGradient && { dx: sumOfProducts(products) }), factors: [da, scaled(db, scale)] }
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

  const modulatedNormGradient: Operations['modulatedNormGradient'] = ({ dy, x, scale, residual }) => {
    const inverse = inverseRms(x, 1)
    const dModulated = dy.reduce((sum, part) => add(sum, part))
    const dNormed = tf.mul(toFloat32(dModulated), tf.add(asTensor(scale), 1))
    return tf.add(residual, rmsNormGradient(dNormed, tf.mul(x, inverse), inverse, 1))
  }

  return {
    ...{ linear, linearGradient, splitHeads, joinHeads, normalizeQueryKey, scaleAndRotate, scaleAndRotateGradient },
    ...{ attention, attentionGradient, gateHeadsGradient, modulate, modulatedNormGradient },
    savesProbabilities: true,
    headGates: (logits) => toMatrix(tf.expandDims(tf.mul(tf.sigmoid(toFloat32(logits)), 2), 1)),
    gateHeads: (y, gates) => joinHeads(gates ? mul(y, gates) : y),
    modulatedNorm: (x, shift, scale) => modulate(tf.mul(x, inverseRms(x, 1)), asTensor(shift), asTensor(scale)),
    addGated: (x, gate, y) => tf.add(x, tf.mul(asTensor(gate), toFloat32(y))),
    gatedGradient: (dy, gate) => toMatrix(tf.mul(dy, asTensor(gate))),
    gelu: (x) => toMatrix(gelu(toFloat32(x))),
    geluGradient: (dy, x) => toMatrix(tf.mul(toFloat32(dy), geluDerivative(toFloat32(x)))),
    ...{ toMatrix, toFloat32 },
    levels: primitives.levels,
    rowsOfLevels: primitives.rowsOfLevels,
  }
}

/** The rows of tokens in the form that composed operations use, `[N, D]`. */
const asTensor = (rows: TokenRows) => rows as tf.Tensor2D

const scaled = (x: tf.Tensor2D, scale: number): tf.Tensor2D => (scale === 1 ? x : tf.mul(x, scale))

export const portableOperations = composeOperations(portablePrimitives)

/** In float32, on every backend, with functions that have gradients. */
export const differentiableOperations = composeOperations(differentiablePrimitives)

export const nativeOperations = composeOperations(nativePrimitives)
