/**
 * Convolutions without padding, each backend's fastest. On processors without AVX-512, oneDNN's kernel takes two to five times as long as Eigen's;
 * there the op `Conv`, which TensorFlow has had since 2.15 and oneDNN does not replace, comes instead of `Conv2D`.
 */
import * as tf from '@tensorflow/tfjs'
import { hasNarrowVectors } from './backend.ts'
import { isNative, nativeBackend, runOp, typeAttribute } from './native.ts'

/** `[B, H, W, in], [h, w, in, out] → [B, H', W', out]`. */
export function conv2d(x: tf.Tensor4D, kernel: tf.Tensor4D, stride = 1): tf.Tensor4D {
  if (!prefersPlainKernel()) return tf.conv2d(x, kernel, stride, 'valid')
  const pass = tf.customGrad((...given) => {
    const [x, kernel, save] = given as unknown as [tf.Tensor4D, tf.Tensor4D, tf.GradSaveFunc]
    save([x, kernel])
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]) => gradients(saved as [tf.Tensor4D, tf.Tensor4D], dy, stride)
    return { value: plain(x, kernel, stride), gradFunc }
  })
  return pass(x, kernel) as tf.Tensor4D
}

/** `[B, N, in], [taps, in, out] → [B, N', out]`; a dilation only where nobody wants a gradient. */
export function conv1d(x: tf.Tensor3D, kernel: tf.Tensor3D, stride = 1, dilation = 1): tf.Tensor3D {
  if (dilation > 1 || !prefersPlainKernel()) return tf.conv1d(x, kernel, stride, 'valid', 'NWC', dilation)
  return tf.squeeze(conv2d(tf.expandDims(x, 2), tf.expandDims(kernel, 1), stride), [2])
}

/** Those of x and of the kernel, as TensorFlow.js has them. */
function gradients([x, kernel]: [tf.Tensor4D, tf.Tensor4D], dy: tf.Tensor, stride: number): tf.Tensor[] {
  const how = { strides: [stride, stride], pad: 'valid', dataFormat: 'NHWC' }
  const run = (kernelName: string, inputs: tf.NamedTensorMap, attributes: object) =>
    tf.engine().runKernel(kernelName, inputs, { ...how, ...attributes } as never) as tf.Tensor
  return [
    run(tf.Conv2DBackpropInput, { dy, filter: kernel }, { inputShape: x.shape }),
    run(tf.Conv2DBackpropFilter, { x, dy }, { filterShape: kernel.shape }),
  ]
}

function plain(x: tf.Tensor4D, kernel: tf.Tensor4D, stride: number): tf.Tensor {
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

/** The answer for native TensorFlow: it stays the same as long as the process lives. */
let prefers: boolean | undefined

function prefersPlainKernel(): boolean {
  if (!isNative()) return false
  prefers ??= hasNarrowVectors() && hasPlainKernel()
  return prefers
}

function hasPlainKernel(): boolean {
  try {
    return tf.tidy(() => plain(tf.ones([1, 2, 2, 1]), tf.ones([2, 2, 1, 1]), 1).dataSync()[0] === 4)
  } catch {
    return false
  }
}
