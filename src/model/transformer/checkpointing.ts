/**
 * Activation checkpointing: whether the backward pass computes the activations of each block again, or the forward pass saves them. Computing them
 * again makes a step a third slower, but long clips and many blocks need more memory than a machine has (reference §7.7).
 */
import { totalmem } from 'node:os'
import { currentBackend } from '../../engine/backend.ts'
import { currentPrecision } from '../../engine/precision.ts'
import { wasmMemoryBytes } from '../../engine/wasm.ts'

/** `on` computes activations again, `off` saves them, `auto` saves them where they fit into memory. */
export type Checkpointing = 'auto' | 'on' | 'off'

/** @param bytes the size of the activations that the forward pass would save. */
export function shouldCheckpoint(checkpointing: Checkpointing, bytes: number, backend = currentBackend()): boolean {
  if (checkpointing !== 'auto') return checkpointing === 'on'
  const machineBytes = Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY)
  const memoryBytes = backend === 'wasm' ? Math.min(machineBytes, wasmMemoryBytes) : machineBytes
  return bytes > activationMemoryShare * memoryBytes
}

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
): number {
  const [computeBytes, float32Bytes] = [currentPrecision() === 'float32' ? 4 : 2, 4]
  const probabilities = savesProbabilities ? heads * tokens * (tokens + textTokens) : 0
  return (
    tokens * (width * (float32Bytes + 10 * computeBytes) + inner * computeBytes) +
    computeBytes * (2 * textTokens * width + probabilities)
  )
}
