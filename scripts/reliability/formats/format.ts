import type { Random } from '../../../src/platform/random.ts'

/** A kind of input: a generator of mutated files, and the code that reads them. */
export type Format = {
  /** Makes a file. If `size` is larger than `bytes`, the file is sparse. */
  make(random: Random): { bytes: Uint8Array; name: string; size?: number }
  /** Reads the file as the tool does. @throws UserError when it is refused; any other error is a finding. */
  use(path: string): Promise<void> | void
}
