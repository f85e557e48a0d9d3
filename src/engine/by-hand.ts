/** Functions whose gradient is written by hand, so that it is known what they keep for it. */
import * as tf from '@tensorflow/tfjs'
import { after } from './ops.ts'

/** What a forward pass keeps for its backward pass: tensors, grouped by name. */
export type Kept = { [name: string]: tf.Tensor | Kept | undefined }

/**
 * @param inputs what a gradient is wanted for; `backward` gives one for each, in their order.
 * @param backward may use only what was kept: everything else is gone by then.
 */
export function byHand<K extends Kept>(
  inputs: readonly tf.Tensor[],
  forward: () => { value: tf.Tensor; kept: K },
  backward: (dy: tf.Tensor, kept: K) => tf.Tensor[],
): tf.Tensor {
  const pass = tf.customGrad((...given) => {
    const save = given.at(-1) as unknown as tf.GradSaveFunc
    const { value, kept } = forward()
    save(leaves(kept))
    // a graph would find what is computed again computed already, and keep it instead
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]) => {
      const waiting = saved.map((tensor) => after(tensor, dy))
      return backward(dy, refilled(kept, waiting))
    }
    return { value, gradFunc: gradFunc as never }
  })
  return pass(...inputs)
}

const leaves = (kept: Kept): tf.Tensor[] =>
  Object.values(kept).flatMap((value) =>
    value === undefined ? [] : value instanceof tf.Tensor ? [value] : leaves(value),
  )

/** The same groups with other tensors, taken from the list in order. */
const refilled = <K extends Kept>(kept: K, tensors: tf.Tensor[]): K =>
  Object.fromEntries(
    Object.entries(kept).map(([name, value]) => [
      name,
      value === undefined ? undefined : value instanceof tf.Tensor ? tensors.shift() : refilled(value, tensors),
    ]),
  ) as K
