/** Tensors in groups and lists, as functions take and give them. */
import * as tf from '@tensorflow/tfjs'

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
