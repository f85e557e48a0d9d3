/** The arithmetic that a step cannot do without: its matrix products, two operations for each multiplication and addition. */

export type StepSize = { blocks: number; tokens: number; contextTokens: number; rank: number; width?: number }

/** Forward and backward of all blocks. Frozen weights need no gradient, nor does the context. */
export function stepOperations({ blocks, tokens, contextTokens, rank, width = 2048 }: StepSize): number {
  const inner = 4 * width
  const product = (rows: number, inputs: number, outputs: number) => 2 * rows * inputs * outputs
  // self-attention's four layers, text attention's query and output, feed-forward: once forward, once for the gradient of their input
  const own = 2 * (6 * product(tokens, width, width) + 2 * product(tokens, width, inner))
  const ofContext = 2 * product(contextTokens, width, width) // keys and values, forward only
  const scores = (keys: number) => 6 * product(tokens, width, keys) // two products forward, four backward
  // a low-rank pair: forward, the gradients of both factors, and that of its input
  const lora = (rows: number, inputs: number, outputs: number, passes: number) =>
    passes * product(rows, inputs + outputs, rank)
  const adapters =
    6 * lora(tokens, width, width, 3) + 2 * lora(tokens, width, inner, 3) + 2 * lora(contextTokens, width, width, 2.5)
  return blocks * (own + ofContext + scores(tokens) + scores(contextTokens) + adapters)
}
