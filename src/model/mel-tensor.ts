/** Log-mels as tensors, and back. */
import * as tf from '@tensorflow/tfjs'
import type { Mel } from '../audio/mel.ts'

/** `[1, channels, frames, melBins]`. */
export const melTensor = ({ channels, frames, melBins, data }: Mel): tf.Tensor4D =>
  tf.tensor4d(data, [1, channels, frames, melBins])

/** The log-mel that a tensor `[1, channels, frames, melBins]` holds. The tensor stays with the caller. */
export async function melOfTensor(tensor: tf.Tensor4D): Promise<Mel> {
  const [, channels, frames, melBins] = tensor.shape
  return { channels, frames, melBins, data: await tensor.data<'float32'>() }
}
