/** What lies before the first and after the last sample of a signal, where a filter looks beyond it. */
import * as tf from '@tensorflow/tfjs'

/** Silence: `[B, N, C] → [B, before + N + after, C]`. By joining, because the WebAssembly backend pads one sample at a time. */
export function silentEdges(x: tf.Tensor3D, before: number, after: number): tf.Tensor3D {
  const [batch, , channels] = x.shape
  const silence = (length: number) => (length > 0 ? [tf.zeros<tf.Rank.R3>([batch, length, channels])] : [])
  return before + after === 0 ? x : tf.tidy(() => tf.concat([...silence(before), x, ...silence(after)], 1))
}

/** The first and the last sample, held: `[B, N, C] → [B, before + N + after, C]`. */
export function heldEdges(x: tf.Tensor3D, before: number, after: number): tf.Tensor3D {
  const held = (at: number, times: number) => tf.gather(x, Array<number>(times).fill(at), 1)
  return tf.tidy(() => tf.concat([held(0, before), x, held(x.shape[1] - 1, after)], 1))
}
