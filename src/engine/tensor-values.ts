/** The values of tensors, in ordinary memory. They are read asynchronously: on a graphics card they are computed meanwhile, and WebGPU has no other way. */
import type * as tf from '@tensorflow/tfjs'

/** The value of a scalar, which is disposed of. */
export async function takeNumber(scalar: tf.Tensor): Promise<number> {
  try {
    const [value = Number.NaN] = await scalar.data()
    return value
  } finally {
    scalar.dispose()
  }
}
