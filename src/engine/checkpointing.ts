/**
 * Whether a gradient keeps what the forward pass computed, or computes it again. Keeping is a third faster; long clips through many blocks need
 * more than a machine has.
 */
import { totalmem } from 'node:os'

export type Recompute = 'auto' | 'on' | 'off'

let chosen: Recompute = 'auto'

/** For everything captured from now on; `auto` leaves it to the estimate. */
export function chooseRecompute(recompute: Recompute) {
  chosen = recompute
}

/** @param bytes what would be kept altogether. */
export const mustRecompute = (bytes: number): boolean =>
  chosen === 'auto' ? bytes > roomToKeep * memoryBytes() : chosen === 'on'

/** The rest is for weights, trained parameters and their moments, and one block's moment of work. */
const roomToKeep = 0.35

const memoryBytes = () => Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY)
