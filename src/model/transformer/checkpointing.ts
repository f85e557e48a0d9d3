/**
 * Activation checkpointing: whether the backward pass computes the activations of each block again, or the forward pass saves them. Computing them
 * again makes a step a third slower, but long clips and many blocks need more memory than a machine has (reference §7.7).
 */
import { backendMemory } from '../../engine/memory.ts'
import { currentPrecision, type Precision } from '../../engine/precision.ts'

/** `on` computes activations again, `off` saves them, `auto` saves them where they fit into memory. */
export type Checkpointing = 'auto' | 'on' | 'off'

/**
 * @param bytes the size of the activations that the forward pass would save.
 * @param memory the memory that the backend can use.
 */
export const shouldCheckpoint = (
  checkpointing: Checkpointing,
  bytes: number,
  memory = backendMemory().memory,
): boolean => (checkpointing === 'auto' ? bytes > activationMemoryShare * memory : checkpointing === 'on')

/** The rest is for weights, trained parameters and their moments, and the intermediate results of one block. */
const activationMemoryShare = 0.35

export type BlockSize = { heads: number; width: number; inner: number }

/**
 * The activations that one block saves: the residual stream in float32, and in the precision of matrix products eight matrices `[N, D]` (counted as ten
 * to include x · loraAᵀ and the inverse RMS), the inner activations of the feed-forward, keys and values of the text, and, where attention saves them, its
 * probabilities.
 * @param tokens, textTokens the lengths of the sequence and of the context.
 */
export function savedActivationBytes(
  { heads, width, inner }: BlockSize,
  { tokens, textTokens, savesProbabilities }: { tokens: number; textTokens: number; savesProbabilities: boolean },
  precision: Precision = currentPrecision(),
): number {
  const [computeBytes, float32Bytes] = [precision === 'float32' ? 4 : 2, 4]
  const probabilities = savesProbabilities ? heads * tokens * (tokens + textTokens) : 0
  return (
    tokens * (width * (float32Bytes + 10 * computeBytes) + inner * computeBytes) +
    computeBytes * (2 * textTokens * width + probabilities)
  )
}
