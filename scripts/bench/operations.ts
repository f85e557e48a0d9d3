/** The number of floating-point operations in the matrix products of a training step. A multiplication and an addition count as two. */

export type StepSize = { blocks: number; tokens: number; contextTokens: number; rank: number; width?: number }

/** Forward and backward pass of all blocks. There are no gradients of the frozen weights and of the context. */
export function floatingPointOperations({ blocks, tokens, contextTokens, rank, width = 2048 }: StepSize): number {
  const inner = 4 * width
  const product = (rows: number, inputs: number, outputs: number) => 2 * rows * inputs * outputs
  // the four layers of self-attention, query and output of cross-attention, the feed-forward: once forward, once for the gradient of their input
  const tokenLayers = 2 * (6 * product(tokens, width, width) + 2 * product(tokens, width, inner))
  const contextLayers = 2 * product(contextTokens, width, width) // keys and values of cross-attention, forward only
  const attention = (keys: number) => 6 * product(tokens, width, keys) // two products forward, four backward
  // @param passes 3 for a LoRA layer: forward, gradients of both factors, gradient of its input
  const lora = (rows: number, inputs: number, outputs: number, passes: number) =>
    passes * product(rows, inputs + outputs, rank)
  const loraLayers =
    6 * lora(tokens, width, width, 3) + 2 * lora(tokens, width, inner, 3) + 2 * lora(contextTokens, width, width, 2.5)
  return blocks * (tokenLayers + contextLayers + attention(tokens) + attention(contextTokens) + loraLayers)
}
