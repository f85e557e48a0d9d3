/** Carries out a plan: the ranges that hold the tensors, several at once, each noted when it is safely on disk. */

import type { ByteSource } from './byte-source.ts'
import { openPartial, type PartialFile, partsOf } from './partial-file.ts'
import type { Plan, Range } from './ranges.ts'

export type PullOptions = {
  /** Its reason is what is thrown when it fires. */
  signal: AbortSignal
  /** How many more bytes of the result are there; the first time those that an earlier attempt left. */
  onBytes?: (bytes: number) => void
}

/** Connections at once. More are not faster, and servers dislike them. */
const connections = 4

/**
 * Fetches what is still missing and gives the file its name. Interrupted, it leaves what has arrived beside it, and goes on from there the next
 * time.
 * @throws UserError when the source fails or has changed, or the disk refuses.
 */
export async function pull(plan: Plan, { signal, onBytes = () => {} }: PullOptions): Promise<void> {
  const { source, path, head, ranges, size } = plan
  const file = await openPartial(path, { head, size, version: source.version })
  try {
    const left = ranges.filter((range) => !file.isDone(range))
    onBytes(bytesOf(ranges) - bytesOf(left))
    const failed = new AbortController() // the failure of one connection ends them all
    const either = AbortSignal.any([signal, failed.signal])
    const queue = left.values()
    const work = async () => {
      for (const range of queue) await fetchRange(source, range, file, either, onBytes)
    }
    const working = Array.from({ length: connections }, () => work().catch((error) => failed.abort(error)))
    await Promise.all(working)
    signal.throwIfAborted()
    failed.signal.throwIfAborted()
    await file.complete()
  } finally {
    await file.close()
  }
}

/** The bytes of the result that these ranges bring. */
export const bytesOf = (ranges: readonly Range[]) =>
  ranges.reduce((sum, { pieces }) => sum + pieces.reduce((sum, { start, end }) => sum + end - start, 0), 0)

async function fetchRange(
  source: ByteSource,
  range: Range,
  file: PartialFile,
  signal: AbortSignal,
  onBytes: (bytes: number) => void,
) {
  signal.throwIfAborted()
  let position = range.start
  for await (const chunk of source.read(range.start, range.end, signal)) {
    for (const [bytes, at] of partsOf(range.pieces, chunk, position)) {
      await file.write(bytes, at)
      onBytes(bytes.length)
    }
    position += chunk.length
  }
  if (position !== range.end) throw new Error(`${source.location}: ${position} is not ${range.end}`)
  await file.finish(range)
}
