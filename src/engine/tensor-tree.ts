/** Trees of tensors: tensors in nested objects and arrays, as functions take and return them. A custom gradient saves one for its backward pass. */
import * as tf from '@tensorflow/tfjs'

export type TensorTree = tf.Tensor | undefined | readonly TensorTree[] | { readonly [name: string]: TensorTree }

/** All tensors of the tree, depth first. */
export function flattenTree(tree: TensorTree): tf.Tensor[] {
  if (tree === undefined) return []
  return tree instanceof tf.Tensor ? [tree] : Object.values(tree).flatMap(flattenTree)
}

/** A tree of the same structure with other tensors, in the order of `flattenTree`. */
export function unflattenTree<T extends TensorTree>(tree: T, tensors: readonly tf.Tensor[]): T {
  const remaining = [...tensors]
  const fill = (part: TensorTree): TensorTree => {
    if (part === undefined) return undefined
    if (part instanceof tf.Tensor) return remaining.shift() as tf.Tensor
    if (Array.isArray(part)) return part.map(fill)
    return Object.fromEntries(Object.entries(part).map(([name, inner]) => [name, fill(inner)]))
  }
  return fill(tree) as T
}

/**
 * Computes `forward()` with a gradient of its own, as `tf.customGrad` does. What is saved between the two passes is stated explicitly.
 * @param inputs the tensors that need a gradient.
 * @param forward returns the value, and the tensors to save for the backward pass.
 * @param backward returns the gradient of each input, in their order. It may use only `dy` and what was saved: everything else has been disposed of.
 */
export function customGradient<S extends TensorTree>(
  inputs: readonly tf.Tensor[],
  forward: () => { value: tf.Tensor; saved: S },
  backward: (dy: tf.Tensor, saved: S) => tf.Tensor[],
): tf.Tensor {
  const compute = tf.customGrad((...args) => {
    const save = args.at(-1) as unknown as tf.GradSaveFunc
    const { value, saved } = forward()
    save(flattenTree(saved))
    // TensorFlow.js would keep the intermediate results of all backward passes until the last one
    const gradFunc = (dy: tf.Tensor, tensors: tf.Tensor[]) => tf.tidy(() => backward(dy, unflattenTree(saved, tensors)))
    return { value, gradFunc: gradFunc as never }
  })
  return compute(...inputs)
}
