/** Convolutions of inputs with zeros around them, each computed in the way that is fastest on the backend. All tensors are channels-last. */
import * as tf from '@tensorflow/tfjs'
import { addChannels } from './channels.ts'
import { inChunks, zeroPad } from './chunks.ts'
import { unpaddedConv1d, unpaddedConv2d } from './composed-convolution.ts'
import { fusedAudio, fusedConvolution } from './fused-audio.ts'

/** The number of zeros before and after an axis. */
export type Padding = readonly [before: number, after: number]

type Options = {
  /** `[out]`, is added to the result. */
  bias?: tf.Tensor1D | undefined
  /** Is added to the result, and has its shape. */
  residual?: tf.Tensor | undefined
  stride?: number
}

export type Conv2dOptions = Options & { padding?: readonly [Padding, Padding] }

/** The stride is 1 where the dilation is larger. */
export type Conv1dOptions = Options & { padding?: Padding; dilation?: number }

const noPadding: Padding = [0, 0]

/** `[B, H, W, in], [h, w, in, out] → [B, H', W', out]`. Differentiable. */
export function conv2d(
  x: tf.Tensor4D,
  kernel: tf.Tensor4D,
  { padding = [noPadding, noPadding], stride = 1, ...added }: Conv2dOptions = {},
): tf.Tensor4D {
  const terms = termsOf(added)
  return tf.tidy(() => {
    if (stride === 1 && fusedAudio().convolution) return fusedConvolution(x, kernel, terms, { padding, dilation: 1 })
    const y = unpaddedConv2d(padAxes(x, padding), kernel, stride)
    return terms.reduce<tf.Tensor4D>((sum, term) => tf.add(sum, term), y)
  })
}

/** `[B, N, in], [taps, in, out] → [B, N', out]`. Differentiable; with a dilation above 1 only on native TensorFlow. */
export function conv1d(
  x: tf.Tensor3D,
  kernel: tf.Tensor3D,
  { padding = noPadding, stride = 1, dilation = 1, ...added }: Conv1dOptions = {},
): tf.Tensor3D {
  const terms = termsOf(added)
  return tf.tidy(() => {
    if (stride === 1 && fusedAudio().convolution) return fusedConv1d(x, kernel, terms, { padding, dilation })
    const filter = (chunk: tf.Tensor3D) => unpaddedConv1d(chunk, kernel, stride, dilation)
    const y = inChunks(zeroPad(x, ...padding), (kernel.shape[0] - 1) * dilation, filter, stride)
    return terms.reduce(addTerm, y)
  })
}

/** As a convolution over two axes, of which the second has one column. */
function fusedConv1d(
  x: tf.Tensor3D,
  kernel: tf.Tensor3D,
  terms: readonly tf.Tensor[],
  { padding, dilation }: { padding: Padding; dilation: number },
): tf.Tensor3D {
  const withColumn = (tensor: tf.Tensor) => (tensor.rank === 3 ? tf.expandDims(tensor, 2) : tensor)
  const geometry = { padding: [padding, noPadding], dilation } as const
  const kernel2d = tf.expandDims<tf.Tensor4D>(kernel, 1)
  return tf.squeeze(fusedConvolution(withColumn(x) as tf.Tensor4D, kernel2d, terms.map(withColumn), geometry), [2])
}

const termsOf = ({ bias, residual }: Pick<Options, 'bias' | 'residual'>) =>
  [bias, residual].filter((term): term is tf.Tensor => term !== undefined)

const addTerm = (x: tf.Tensor3D, term: tf.Tensor): tf.Tensor3D =>
  term.rank === 1 ? addChannels(x, term as tf.Tensor1D) : tf.add(x, term)

/** A separate step, because not every backend supports uneven padding inside its convolution. */
const padAxes = (x: tf.Tensor4D, [rows, columns]: readonly [Padding, Padding]): tf.Tensor4D =>
  Math.max(...rows, ...columns) === 0 ? x : tf.pad(x, [[0, 0], [...rows], [...columns], [0, 0]])
