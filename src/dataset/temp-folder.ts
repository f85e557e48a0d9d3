/** Folders for what is downloaded and extracted. They are removed on `remove()`, and at the latest when the process exits. */
import { rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export type TempFolder = {
  /** A path for a new file; `extension` includes its dot. */
  newFile(extension: string): string
  remove(): Promise<void>
}

const open = new Set<string>()

export async function makeTempFolder(): Promise<TempFolder> {
  const folder = await mkdtemp(join(tmpdir(), 'ltx-a2a-'))
  if (open.size === 0) process.once('exit', removeAll)
  open.add(folder)
  let files = 0
  return {
    newFile: (extension) => join(folder, `${++files}${extension}`),
    remove: async () => {
      await rm(folder, { recursive: true, force: true })
      open.delete(folder)
      if (open.size === 0) process.off('exit', removeAll)
    },
  }
}

/** Someone may call `process.exit` with a source still open. */
function removeAll() {
  for (const folder of open) rmSync(folder, { recursive: true, force: true })
}
