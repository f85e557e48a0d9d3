/**
 * The few TensorFlow ops that compute in the precision of products, on native TensorFlow only. `narrow` leads into it and `wide` back to
 * float32; in between, tensors bear the name float32 to TensorFlow.js, which must not touch them. None of these has a gradient: they are for
 * gradients written by hand.
 */
import * as tf from '@tensorflow/tfjs'
import { castTo, dataTypeOf, flag, integer, nativeBackend, runOp, typeAttribute } from './native.ts'
import { currentPrecision } from './precision.ts'
import { currentRecording } from './recording.ts'

/** To the precision of products. */
export const narrow = <T extends tf.Tensor>(x: T): T => castTo(currentPrecision(), x)

/** To float32. */
export const wide = <T extends tf.Tensor>(x: T): T => castTo('float32', x)

type Transposed = { transposeA?: boolean; transposeB?: boolean }

/** The product of two matrices, either transposed where asked. */
export const matMul = (a: tf.Tensor, b: tf.Tensor, { transposeA = false, transposeB = false }: Transposed = {}) =>
  runOp('MatMul', [a, b], [typeOf(a), flag('transpose_a', transposeA), flag('transpose_b', transposeB)]) as tf.Tensor2D

/** The products of two stacks of matrices. */
export const stackMatMul = (a: tf.Tensor, b: tf.Tensor, { transposeA = false, transposeB = false }: Transposed = {}) =>
  runOp('BatchMatMulV2', [a, b], [typeOf(a), flag('adj_x', transposeA), flag('adj_y', transposeB)]) as tf.Tensor3D

export const add = <T extends tf.Tensor>(a: T, b: tf.Tensor): T => runOp('AddV2', [a, b], [typeOf(a)]) as T
export const sub = <T extends tf.Tensor>(a: T, b: tf.Tensor): T => runOp('Sub', [a, b], [typeOf(a)]) as T
export const mul = <T extends tf.Tensor>(a: T, b: tf.Tensor): T => runOp('Mul', [a, b], [typeOf(a)]) as T

/** One bias for each column; TensorFlow fuses it with the product before it. */
export const biasAdd = (x: tf.Tensor2D, bias: tf.Tensor1D) => runOp('BiasAdd', [x, bias], [typeOf(x)]) as tf.Tensor2D

export function reshape(x: tf.Tensor, shape: readonly number[]): tf.Tensor {
  return runOp('Reshape', [x, tf.tensor1d([...shape], 'int32')], [typeOf(x), typeAttribute('Tshape', 'int32')])
}

/** The rows of a matrix that the indices name; `tf.gather` would look at the indices' values. */
export const rowsAt = (x: tf.Tensor2D, indices: tf.Tensor1D) =>
  runOp(
    'GatherV2',
    [x, indices, tf.scalar(0, 'int32')],
    [
      integer('batch_dims', 0),
      typeAttribute('Tparams', dataTypeOf(x)),
      typeAttribute('Tindices', 'int32'),
      typeAttribute('Taxis', 'int32'),
    ],
  ) as tf.Tensor2D

/** x, but in a graph no sooner than `earlier` is there: without it TensorFlow would begin with all at once. */
export function after<T extends tf.Tensor>(x: T, earlier: tf.Tensor): T {
  const recording = currentRecording()
  if (!recording) return x
  const [id, awaited] = nativeBackend().getInputTensorIds([x, earlier]) as [number, number]
  const inputs = [recording.nameOf(id), `^${recording.nodeOf(awaited)}`]
  const node = recording.add({ op: 'Identity', inputs, attributes: [typeOf(x)] })
  return recording.tensorOf(recording.infoOf(id), recording.outputOf(node, 'Identity')) as T
}

const typeOf = (x: tf.Tensor) => typeAttribute('T', dataTypeOf(x))
