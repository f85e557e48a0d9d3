/** Functions whose gradient is written by hand, so that it is known what they keep for it. */
import * as tf from '@tensorflow/tfjs'

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

/** Tensors in groups and lists, as functions take and give them. */

export type Tree = tf.Tensor | undefined | readonly Tree[] | { readonly [name: string]: Tree }

/** All tensors, in the order of their groups. */
export function leaves(tree: Tree): tf.Tensor[] {
  if (tree === undefined) return []
  return tree instanceof tf.Tensor ? [tree] : Object.values(tree).flatMap(leaves)
}

/** The same groups with other tensors, taken in order. */
export function refilled<T extends Tree>(tree: T, tensors: readonly tf.Tensor[]): T {
  const rest = [...tensors]
  const fill = (part: Tree): Tree => {
    if (part === undefined) return undefined
    if (part instanceof tf.Tensor) return rest.shift() as tf.Tensor
    if (Array.isArray(part)) return part.map(fill)
    return Object.fromEntries(Object.entries(part).map(([name, inner]) => [name, fill(inner)]))
  }
  return fill(tree) as T
}
