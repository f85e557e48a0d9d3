/**
 * TensorFlow ops for gradients written by hand, on native TensorFlow only. They compute in the data type of their inputs, bfloat16 included:
 * `toComputeDtype` converts to the precision of matrix products, `toFloat32` back. To TensorFlow.js a bfloat16 tensor is float32, so only these ops
 * may use it. None of them has a gradient.
 */
import * as tf from '@tensorflow/tfjs'
import {
  boolAttribute,
  cast,
  intAttribute,
  nativeBackend,
  nativeDtypeOf,
  type OpAttribute,
  runOp,
  typeAttribute,
} from './native.ts'
import { currentPrecision } from './precision.ts'
import { currentRecording } from './recording.ts'

/** To the precision of matrix products. */
export const toComputeDtype = <T extends tf.Tensor>(x: T): T => cast(x, currentPrecision())

export const toFloat32 = <T extends tf.Tensor>(x: T): T => cast(x, 'float32')

export type TransposeOptions = { transposeA?: boolean; transposeB?: boolean }

/** The product of two matrices, each transposed if asked for. */
export const matMul = (a: tf.Tensor, b: tf.Tensor, { transposeA = false, transposeB = false }: TransposeOptions = {}) =>
  runOp(
    'MatMul',
    [a, b],
    [dtypeAttribute(a), boolAttribute('transpose_a', transposeA), boolAttribute('transpose_b', transposeB)],
  ) as tf.Tensor2D

/** The products of two stacks of matrices, `[B, m, k], [B, k, n] → [B, m, n]`. */
export const batchMatMul = (
  a: tf.Tensor,
  b: tf.Tensor,
  { transposeA = false, transposeB = false }: TransposeOptions = {},
) =>
  runOp(
    'BatchMatMulV2',
    [a, b],
    [dtypeAttribute(a), boolAttribute('adj_x', transposeA), boolAttribute('adj_y', transposeB)],
  ) as tf.Tensor3D

export const add = <T extends tf.Tensor>(a: T, b: tf.Tensor): T => runOp('AddV2', [a, b], [dtypeAttribute(a)]) as T
export const sub = <T extends tf.Tensor>(a: T, b: tf.Tensor): T => runOp('Sub', [a, b], [dtypeAttribute(a)]) as T
export const mul = <T extends tf.Tensor>(a: T, b: tf.Tensor): T => runOp('Mul', [a, b], [dtypeAttribute(a)]) as T

/** Adds one number per column; TensorFlow fuses it with the product before it. */
export const biasAdd = (x: tf.Tensor2D, bias: tf.Tensor1D) =>
  runOp('BiasAdd', [x, bias], [dtypeAttribute(x)]) as tf.Tensor2D

export function reshape(x: tf.Tensor, shape: readonly number[]): tf.Tensor {
  return runOp('Reshape', [x, tf.tensor1d([...shape], 'int32')], [dtypeAttribute(x), typeAttribute('Tshape', 'int32')])
}

export const transpose = (x: tf.Tensor, order: readonly number[]) =>
  runOp('Transpose', [x, tf.tensor1d([...order], 'int32')], [dtypeAttribute(x), typeAttribute('Tperm', 'int32')])

/** The rows of a matrix with the given indices. Unlike `tf.gather` it does not read the indices, so it can be captured. */
export const gatherRows = (x: tf.Tensor2D, indices: tf.Tensor1D) =>
  runOp(
    'GatherV2',
    [x, indices, tf.scalar(0, 'int32')],
    [
      intAttribute('batch_dims', 0),
      typeAttribute('Tparams', nativeDtypeOf(x)),
      typeAttribute('Tindices', 'int32'),
      typeAttribute('Taxis', 'int32'),
    ],
  ) as tf.Tensor2D

/**
 * Adds an op to the recording that changes variables in place. TensorFlow.js has no such ops.
 * @param op an op whose inputs are the variables followed by the tensors. @param controlInputs names of the nodes that must run before it.
 * @returns the name of its node.
 * @throws Error where no function is being recorded.
 */
export function updateInPlace(
  op: string,
  variables: readonly tf.Variable[],
  tensors: readonly tf.Tensor[],
  attributes: readonly OpAttribute[],
  controlInputs: readonly string[] = [],
): string {
  const recording = currentRecording()
  if (!recording) throw new Error(`${op} can only be used while a function is recorded`)
  const idsOf = (list: readonly tf.Tensor[]) => nativeBackend().getInputTensorIds(list)
  const inputs = [
    ...idsOf(variables).map(recording.handleNameOf),
    ...idsOf(tensors).map(recording.outputNameOf),
    ...controlInputs.map((node) => `^${node}`),
  ]
  const node = recording.add({ op, inputs, attributes: [...attributes] })
  recording.addSideEffect(node)
  return node
}

const dtypeAttribute = (x: tf.Tensor) => typeAttribute('T', nativeDtypeOf(x))
