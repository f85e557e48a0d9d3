/**
 * Convolutions without padding. On processors without AVX-512, oneDNN's kernel for `Conv2D` takes two to five times as long as Eigen's; there the op
 * `Conv` is used, which TensorFlow has since 2.15 and which oneDNN does not replace.
 */
import * as tf from '@tensorflow/tfjs'
import { zeroPad } from './chunks.ts'
import { isNative, lacksAvx512, nativeBackend, runOp, typeAttribute } from './native.ts'

/** `[B, H, W, in], [h, w, in, out] → [B, H', W', out]`. */
export function unpaddedConv2d(x: tf.Tensor4D, kernel: tf.Tensor4D, stride = 1): tf.Tensor4D {
  if (!usesConvOp()) return tf.conv2d(x, kernel, stride, 'valid')
  const convolve = tf.customGrad((...args) => {
    const [x, kernel, save] = args as unknown as [tf.Tensor4D, tf.Tensor4D, tf.GradSaveFunc]
    save([x, kernel])
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]) => gradients(saved as [tf.Tensor4D, tf.Tensor4D], dy, stride)
    return { value: convOp(x, kernel, stride), gradFunc }
  })
  return convolve(x, kernel) as tf.Tensor4D
}

/** `[B, N, in], [taps, in, out] → [B, N', out]`. The stride is 1 where the dilation is larger. */
export function unpaddedConv1d(x: tf.Tensor3D, kernel: tf.Tensor3D, stride = 1, dilation = 1): tf.Tensor3D {
  if (dilation > 1 && isNative()) return convolveDilated(x, dilation, (phases) => unpaddedConv1d(phases, kernel))
  if (!usesConvOp()) return tf.conv1d(x, kernel, stride, 'valid', 'NWC', dilation)
  return tf.squeeze(unpaddedConv2d(tf.expandDims(x, 2), tf.expandDims(kernel, 1), stride), [2])
}

/**
 * A filter of dilation d as a plain filter over each of the d phases of the signal: `[B, N + reach, C] → [B, N, C']`. TensorFlow.js has gradients
 * for plain convolutions only.
 */
function convolveDilated(x: tf.Tensor3D, d: number, filter: (phases: tf.Tensor3D) => tf.Tensor3D): tf.Tensor3D {
  const [batch, length, channels] = x.shape
  const rows = Math.ceil(length / d)
  const whole = tf.reshape(zeroPad(x, 0, rows * d - length), [batch, rows, d, channels])
  const phases = tf.reshape<tf.Rank.R3>(tf.transpose(whole, [0, 2, 1, 3]), [batch * d, rows, channels])
  const filtered = filter(phases)
  const [, filteredRows, outputs] = filtered.shape
  const interleaved = tf.transpose(tf.reshape(filtered, [batch, d, filteredRows, outputs]), [0, 2, 1, 3])
  return tf.slice(
    tf.reshape<tf.Rank.R3>(interleaved, [batch, filteredRows * d, outputs]),
    [0, 0, 0],
    [batch, length - (rows - filteredRows) * d, outputs],
  )
}

/** The gradients of x and kernel, with TensorFlow.js's own kernels. */
function gradients([x, kernel]: [tf.Tensor4D, tf.Tensor4D], dy: tf.Tensor, stride: number): tf.Tensor[] {
  const shared = { strides: [stride, stride], pad: 'valid', dataFormat: 'NHWC' }
  const run = (kernelName: string, inputs: tf.NamedTensorMap, attributes: object) =>
    tf.engine().runKernel(kernelName, inputs, { ...shared, ...attributes } as never) as tf.Tensor
  return [
    run(tf.Conv2DBackpropInput, { dy, filter: kernel }, { inputShape: x.shape }),
    run(tf.Conv2DBackpropFilter, { x, dy }, { filterShape: kernel.shape }),
  ]
}

function convOp(x: tf.Tensor4D, kernel: tf.Tensor4D, stride: number): tf.Tensor {
  const { TF_ATTR_INT, TF_ATTR_STRING } = nativeBackend().binding
  return runOp(
    'Conv',
    [x, kernel],
    [
      typeAttribute('T', 'float32'),
      { name: 'strides', type: TF_ATTR_INT, value: [1, stride, stride, 1] },
      { name: 'padding', type: TF_ATTR_STRING, value: 'VALID' },
      { name: 'data_format', type: TF_ATTR_STRING, value: 'CHANNELS_LAST' },
    ],
  )
}

function usesConvOp(): boolean {
  if (!isNative()) return false
  nativeUsesConvOp ??= lacksAvx512() && hasConvOp()
  return nativeUsesConvOp
}

/** The answer for native TensorFlow; it does not change while the process runs. */
let nativeUsesConvOp: boolean | undefined

function hasConvOp(): boolean {
  try {
    return tf.tidy(() => convOp(tf.ones([1, 2, 2, 1]), tf.ones([2, 2, 1, 1]), 1).dataSync()[0] === 4)
  } catch {
    return false
  }
}
