import type { Random } from '../../../src/platform/random.ts'

/** A kind of input: how a hostile one is made, and what the tool does with it. */
export type Format = {
  /** The file that input `random` stands for. `size` is larger than `bytes` where a hole follows them. */
  make(random: Random): { bytes: Uint8Array; name: string; size?: number }
  /** Uses it as the tool would. @throws UserError for what it refuses; anything else is a finding. */
  use(path: string): Promise<void> | void
}
