/**
 * The operations of a transformer block with the fused ops of the addon, on CPUs. Composed of TensorFlow's own ops, everything that is not a product
 * takes longer than the products: there is no op that, for instance, reads bfloat16, computes a softmax in float32 and writes bfloat16.
 */
import * as tf from '@tensorflow/tfjs'
import { composeOperations } from './composed-operations.ts'
import { intAttribute, type NativeDtype, nativeDtypeOf, runOp, runOpWithOutputs, typeAttribute } from './native.ts'
import type { Operations, QueryKeyTransform, TokenRows } from './operations.ts'
import { currentPrecision } from './precision.ts'
import { type Bias, nativePrimitives, nativeProduct, type Primitives, type Product } from './primitives.ts'

/** The data type of matrices. */
const matrixType = () => typeAttribute('T', currentPrecision())

/** Runs a fused op that has neither lists of inputs nor several outputs. */
const fused = (op: string, ...inputs: tf.Tensor[]) => runOp(`Ltx${op}`, inputs, [matrixType()])

/** With TensorFlow's products. */
const addingPrimitives: Primitives = {
  ...nativePrimitives,
  sumOfProducts: (products, bias) => {
    if (products.length === 1) return nativePrimitives.sumOfProducts(products, bias)
    const terms = products.map(nativeProduct)
    return terms.reduce((sum, term, i) => addProducts(sum, term, i === terms.length - 1 ? bias : undefined))
  },
}

function addProducts(x: tf.Tensor2D, y: tf.Tensor2D, bias: Bias | undefined): tf.Tensor2D {
  const biases = biasInputs(bias)
  return runOp(
    'LtxAddProducts',
    [x, y, ...biases],
    [matrixType(), intAttribute('biases', biases.length)],
  ) as tf.Tensor2D
}

const biasInputs = (bias: Bias | undefined): tf.Tensor[] => {
  if (!bias) return []
  return [bias.rows === 'tokens' ? bias.values : tf.reshape(bias.values, [-1, 1])]
}

/** With the addon's own products of bfloat16, which add up before they round. */
const multiplyingPrimitives: Primitives = {
  ...nativePrimitives,
  matMul: (a, b, options) => productSum([{ a, b, ...options }]) as tf.Tensor2D,
  batchMatMul: (a, b, options) => productSum([{ a, b, ...options }]) as tf.Tensor3D,
  sumOfProducts: (products, bias) => productSum(products, { bias }) as tf.Tensor2D,
  matMulToFloat32: (a, b, options) => productSum([{ a, b, ...options }], { result: 'float32' }) as tf.Tensor2D,
  factor: (x) => x,
}

/** Factors of a LoRA are float32; the op rounds them. */
const isFactor = ({ matrix }: { matrix: tf.Tensor }) => nativeDtypeOf(matrix) === 'float32'

function productSum(
  products: readonly Product[],
  { bias, result = 'bfloat16' }: { bias?: Bias | undefined; result?: NativeDtype } = {},
): tf.Tensor {
  const biases = biasInputs(bias)
  const operands = products.flatMap(({ a, b, transposeA, transposeB }) => [
    { matrix: a, transposed: transposeA },
    { matrix: b, transposed: transposeB },
  ])
  const [matrices, factors] = [operands.filter((operand) => !isFactor(operand)), operands.filter(isFactor)]
  const flags = operands.flatMap((operand) => [operand.transposed, isFactor(operand)])
  const attributes = [
    matrixType(),
    typeAttribute('result', result),
    intAttribute('matrix_count', matrices.length),
    intAttribute('factor_count', factors.length),
    intAttribute('bias_count', biases.length),
    intAttribute(
      'flags',
      flags.reduce<number>((all, isSet, bit) => all | (isSet ? 1 << bit : 0), 0),
    ),
  ]
  return runOp('LtxProductSum', [...[...matrices, ...factors].map(({ matrix }) => matrix), ...biases], attributes)
}

type RowsByLevel = Exclude<TokenRows, tf.Tensor>

const rowsByLevel = (rows: TokenRows): [rows: tf.Tensor, levels: tf.Tensor] => {
  const { rows: values, levels } = rows as RowsByLevel
  return [values, levels]
}

const factorsOf = ({ scale, rope }: QueryKeyTransform) => [
  ...(scale ? [scale] : []),
  ...(rope ? [rope.cos, rope.sin] : []),
]

type Attention = Pick<Operations, 'savesProbabilities' | 'attention' | 'attentionGradient'>

/** With the probabilities in memory. */
const savingAttention = ({ batchMatMul }: Primitives): Attention => ({
  savesProbabilities: true,
  attention: ({ query, key, value }) => {
    const probabilities = fused('Softmax', batchMatMul(query, key, { transposeA: true }))
    return { y: batchMatMul(value, probabilities, { transposeB: true }), saved: probabilities }
  },
  attentionGradient: ({ query, key, value, dy, sums, needs, saved }) => {
    const probabilities = saved as tf.Tensor // [H, N, S]
    const dScores = fused('SoftmaxGradient', batchMatMul(dy, value, { transposeA: true }), probabilities, sums)
    return {
      query: batchMatMul(key, dScores, { transposeB: true }),
      ...(needs.key && { key: batchMatMul(query, dScores) }),
      ...(needs.value && { value: batchMatMul(dy, probabilities) }),
    }
  },
})

/** In bfloat16, without: the backward pass computes them again. */
const flashAttention: Attention = {
  savesProbabilities: false,
  attention: ({ query, key, value }) => {
    const [y, logSums] = runOpWithOutputs('LtxAttention', [query, key, value], [matrixType()], 2)
    return { y: y as tf.Tensor, saved: logSums as tf.Tensor }
  },
  attentionGradient: ({ query, key, value, dy, sums, needs, saved }) => {
    const attributes = [matrixType(), intAttribute('flags', (needs.key ? 1 : 0) | (needs.value ? 2 : 0))]
    const inputs = [query, key, value, dy, saved as tf.Tensor, sums]
    const [dQuery, dKey, dValue] = runOpWithOutputs('LtxAttentionGradient', inputs, attributes, 3)
    return {
      query: dQuery as tf.Tensor,
      ...(needs.key && { key: dKey as tf.Tensor }),
      ...(needs.value && { value: dValue as tf.Tensor }),
    }
  },
}

function fuseOperations(primitives: Primitives, attention: Attention): Operations {
  const { reshape } = primitives
  const composed = composeOperations(primitives)
  const { splitHeads, joinHeads } = composed

  const normalizeQueryKey: Operations['normalizeQueryKey'] = (x) => {
    const [normed, inverse] = runOpWithOutputs('LtxNormalizeQueryKey', [x], [matrixType()], 2)
    return { normed: normed as tf.Tensor, inverse: inverse as tf.Tensor }
  }

  const scaleAndRotate: Operations['scaleAndRotate'] = ({ normed }, heads, transform) => {
    const factors = factorsOf(transform)
    if (factors.length === 0) return splitHeads(normed, heads)
    const attributes = [matrixType(), intAttribute('factors', factors.length)]
    return splitHeads(runOp('LtxScaleAndRotate', [normed, ...factors], attributes), heads)
  }

  const scaleAndRotateGradient: Operations['scaleAndRotateGradient'] = (dy, { normed, inverse }, transform) => {
    const factors = factorsOf(transform)
    const attributes = [matrixType(), intAttribute('factors', factors.length)]
    return runOp('LtxScaleAndRotateGradient', [joinHeads(dy), normed, inverse, ...factors], attributes)
  }

  const gateHeadsGradient: Operations['gateHeadsGradient'] = (dy, y, gates) => {
    if (!gates) return composed.gateHeadsGradient(dy, y, gates)
    const outputs = runOpWithOutputs('LtxGateHeadsGradient', [reshape(dy, y.shape), y, gates], [matrixType()], 3)
    const [dHeads, dLogits, sums] = outputs as [tf.Tensor, tf.Tensor2D, tf.Tensor]
    return { dHeads, dLogits, sums }
  }

  return {
    ...composed,
    ...attention,
    ...{ normalizeQueryKey, scaleAndRotate, scaleAndRotateGradient, gateHeadsGradient },
    gateHeads: (y, gates) => joinHeads(gates ? fused('GateHeads', y, gates) : y),
    modulatedNorm: (x, shift, scale) => {
      const [scales, levels] = rowsByLevel(scale)
      return fused('ModulatedNorm', x, rowsByLevel(shift)[0], scales, levels)
    },
    modulatedNormGradient: ({ dy, x, scale, residual }) => {
      const attributes = [matrixType(), intAttribute('parts', dy.length)]
      return runOp('LtxModulatedNormGradient', [x, ...rowsByLevel(scale), residual, ...dy], attributes)
    },
    modulate: (x, shift, scale) => fused('Modulate', x, shift, scale),
    addGated: (x, gate, y) => fused('AddGated', x, ...rowsByLevel(gate), y),
    gatedGradient: (dy, gate) => fused('GatedGradient', dy, ...rowsByLevel(gate)),
    gelu: (x) => fused('Gelu', x),
    geluGradient: (dy, x) => fused('GeluGradient', dy, x),
    rowsOfLevels: (rows, levels) => ({ rows, levels }),
  }
}

/** In bfloat16 or float32. */
export const fusedOperations = fuseOperations(addingPrimitives, savingAttention(addingPrimitives))

/** In bfloat16, on CPUs that multiply it. */
export const fusedBfloat16Operations = fuseOperations(multiplyingPrimitives, flashAttention)
