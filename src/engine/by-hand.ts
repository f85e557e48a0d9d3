/** Functions whose gradient is written by hand, so that it is known what they keep for it. */
import * as tf from '@tensorflow/tfjs'
import { leaves, refilled, type Tree } from './tree.ts'

/**
 * @param inputs what a gradient is wanted for; `backward` gives one for each, in their order.
 * @param backward may use only what was kept: everything else is gone by then.
 */
export function byHand<K extends Tree>(
  inputs: readonly tf.Tensor[],
  forward: () => { value: tf.Tensor; kept: K },
  backward: (dy: tf.Tensor, kept: K) => tf.Tensor[],
): tf.Tensor {
  const pass = tf.customGrad((...given) => {
    const save = given.at(-1) as unknown as tf.GradSaveFunc
    const { value, kept } = forward()
    save(leaves(kept))
    return { value, gradFunc: ((dy: tf.Tensor, saved: tf.Tensor[]) => backward(dy, refilled(kept, saved))) as never }
  })
  return pass(...inputs)
}
