/** Matrices that wait in ordinary memory until a step needs them: patches `[T, 128]`, contexts `[S, D]`. */
import * as tf from '@tensorflow/tfjs'

export type HostMatrix = { shape: [rows: number, columns: number]; values: Float32Array }

/** As a batch of one, `[1, rows, columns]`. */
export const toBatch = ({ shape, values }: HostMatrix): tf.Tensor3D => tf.tensor3d(values, [1, ...shape])

/** A batch of one, taken out of TensorFlow.js; the tensor is disposed of. */
export function fromBatch(batch: tf.Tensor3D): HostMatrix {
  const [, rows, columns] = batch.shape
  const values = batch.dataSync<'float32'>().slice()
  batch.dispose()
  return { shape: [rows, columns], values }
}
