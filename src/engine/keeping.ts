/**
 * Whether a gradient keeps what the forward pass computed, or computes it again. Keeping is a third faster; long clips through many blocks need
 * more than a machine has.
 */
import { totalmem } from 'node:os'

let forced: boolean | undefined

/** Forces one or the other; undefined leaves it to the estimate. */
export function chooseRecompute(recompute: boolean | undefined) {
  forced = recompute
}

/** @param bytes what would be kept altogether. */
export const mustRecompute = (bytes: number): boolean => forced ?? bytes > roomToKeep * memoryBytes()

/** The rest is for weights, trained parameters and their moments, and one block's moment of work. */
const roomToKeep = 0.35

const memoryBytes = () => Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY)
