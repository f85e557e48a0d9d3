/** The metrics of runs that are looked at: of a file that grows, only what is new is read. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { parseMetrics, type StepMetrics } from '../../report/loss-curves.ts'

export type MetricsReader = { read(path: string): readonly StepMetrics[] }

type Known = { inode: number; bytes: number; steps: StepMetrics[] }

/** Runs whose metrics are kept in memory. */
const mostKnown = 8

/** Bytes at a time. */
const blockBytes = 4 * 2 ** 20

export function createMetricsReader(): MetricsReader {
  const known = new Map<string, Known>()
  return {
    read: (path) => {
      let file: number
      try {
        file = openSync(path, 'r')
      } catch {
        return []
      }
      try {
        const { ino: inode, size } = fstatSync(file)
        const before = known.get(path)
        const isSame = before !== undefined && before.inode === inode && before.bytes <= size // a resumed run rewrites it
        const now = isSame ? before : { inode, bytes: 0, steps: [] }
        readNew(file, now)
        known.delete(path)
        known.set(path, now)
        for (const oldest of [...known.keys()].slice(0, -mostKnown)) known.delete(oldest)
        return now.steps
      } finally {
        closeSync(file)
      }
    },
  }
}

/** Reads complete lines only. */
function readNew(file: number, known: Known) {
  const block = Buffer.allocUnsafe(blockBytes)
  for (;;) {
    const read = readSync(file, block, 0, blockBytes, known.bytes)
    const end = block.subarray(0, read).lastIndexOf(0x0a) + 1
    if (end === 0) return
    known.steps.push(...parseMetrics(block.toString('utf8', 0, end)).map(({ pairs: _, ...step }) => step))
    known.bytes += end
  }
}
