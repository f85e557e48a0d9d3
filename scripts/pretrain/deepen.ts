/** Adds blocks to a trained transformer without changing what it computes. */
import { mapValues, type Tensors } from '../base/tensors.ts'

/** The number of the block that a tensor belongs to; undefined for tensors outside the blocks. */
function blockNumber(name: string): number | undefined {
  const [, number] = /\.transformer_blocks\.(\d+)\./.exec(name) ?? []
  return number === undefined ? undefined : Number(number)
}

/** The output projections of a block: with zeros there, it is the identity. */
const outputProjection = /\.(audio_attn[12]\.to_out\.0|audio_ff\.net\.2)\.(weight|bias)$/

/**
 * The trained weights with a copy of a block after each of the given ones. The copies are identities: their output projections are zero.
 * @param after the numbers of the blocks to copy.
 */
export function deepen(trained: Tensors, after: readonly number[]): Tensors {
  const deeper: Tensors = new Map()
  const order = blockOrder(trained, after)
  for (const [name, tensor] of trained) {
    const number = blockNumber(name)
    if (number === undefined) deeper.set(name, tensor)
    else
      for (const [position, { source, isCopy }] of order.entries()) {
        if (source !== number) continue
        const renamed = name.replace(/(?<=transformer_blocks\.)\d+/, String(position))
        deeper.set(renamed, tensor)
        if (isCopy && outputProjection.test(name)) mapValues(deeper, renamed, () => 0)
      }
  }
  return deeper
}

/** Which trained block is at each position. */
function blockOrder(trained: Tensors, after: readonly number[]) {
  const numbers = [...new Set([...trained.keys()].map(blockNumber))].filter((number) => number !== undefined)
  return numbers
    .toSorted((a, b) => a - b)
    .flatMap((source) => [{ source, isCopy: false }, ...(after.includes(source) ? [{ source, isCopy: true }] : [])])
}
