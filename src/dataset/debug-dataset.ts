/** What the model was really shown: the fitted clips, their captions and the plan, as a zip that is itself a dataset. */
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { rename } from 'node:fs/promises'
import yazl from 'yazl'
import { encodeWav } from '../audio/wav.ts'
import type { FittedPair } from './clips.ts'
import type { Dataset } from './dataset.ts'

export type DebugDataset = { add(pair: FittedPair): void; finish(): Promise<void> }

export function createDebugDataset(path: string, dataset: Dataset): DebugDataset {
  const zip = new yazl.ZipFile()
  const beside = `${path}.${process.pid}.tmp`
  const written = once(zip.outputStream.pipe(createWriteStream(beside)), 'close')
  written.catch(() => undefined) // a full disk is told by `finish`, also when it is met before
  const mtime = new Date(1980, 0, 1) // the same clips, the same zip
  const add = (name: string, bytes: Uint8Array | string) => zip.addBuffer(Buffer.from(bytes), name, { mtime })
  add('plan.json', `${JSON.stringify(dataset, null, 2)}\n`)
  return {
    add: ({ name, caption, reference, target }) => {
      add(`${name}_start.wav`, encodeWav(reference))
      add(`${name}_end.wav`, encodeWav(target))
      if (caption) add(`${name}.txt`, `${caption}\n`)
    },
    finish: async () => {
      zip.end()
      await written
      await rename(beside, path)
    },
  }
}
