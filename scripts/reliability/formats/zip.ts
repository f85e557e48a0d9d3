/** Zip files: opened, listed, matched into pairs, and every file extracted. */
import { ZipFile } from 'yazl'
import { findPairs } from '../../../src/dataset/pairs.ts'
import { openSource } from '../../../src/dataset/source.ts'
import { UserError } from '../../../src/platform/errors.ts'
import { mutate, pick } from '../mutation.ts'
import { noise } from '../tiny-data.ts'
import type { Format } from './format.ts'

export async function zipFormat(): Promise<Format> {
  const sound = Buffer.from(noise('zip', 0.02))
  const seeds = [
    await zip({ 'a_start.wav': sound, 'a_end.wav': sound, 'a.txt': Buffer.from('a caption') }),
    await zip(
      { 'deep/er/a_start.wav': sound, 'deep/er/a_END.wav': sound, 'é.txt': Buffer.from('é') },
      { compress: false },
    ),
    await zip(
      { 'zeros_start.wav': Buffer.alloc(200_000), 'zeros_end.wav': Buffer.alloc(10) },
      { forceZip64Format: true },
    ),
    await zip({ '.._canary_end.txt': Buffer.from('up'), 'C._canary_end.wav': sound, '_etc_canary_end.wav': sound }),
    await zip({}),
  ]
  return {
    make: (random) => ({
      bytes: withUnsafeNames(mutate(pick(random, seeds), random, seeds), random.uniform()),
      name: 'pairs.zip',
    }),
    use: async (path) => {
      const source = await openSource(path)
      try {
        findPairs(source.paths)
        for (const path of new Set(source.paths)) await ignoreUserError(() => source.readText(path))
      } finally {
        await source.close()
      }
    },
  }
}

/** The other files are read even if one file is refused. */
async function ignoreUserError(work: () => Promise<unknown>) {
  try {
    await work()
  } catch (error) {
    if (!(error instanceof UserError)) throw error
  }
}

/** Replaces file names by paths outside the folder, of the same length, because yazl does not write such names. */
function withUnsafeNames(bytes: Uint8Array, chance: number): Uint8Array {
  if (chance < 0.5) return bytes
  const text = Buffer.from(bytes).toString('latin1')
  const names: [string, string][] = [
    ['.._canary', '../canary'],
    ['C._canary', 'C:\\canary'],
    ['_etc_canary', '/etc/canary'],
  ]
  return Buffer.from(
    names.reduce((text, [from, to]) => text.replaceAll(from, to), text),
    'latin1',
  )
}

async function zip(files: Record<string, Buffer>, options: { compress?: boolean; forceZip64Format?: boolean } = {}) {
  const archive = new ZipFile()
  const mtime = new Date('2025-01-01T00:00:00Z')
  for (const [path, bytes] of Object.entries(files)) archive.addBuffer(bytes, path, { mtime, ...options })
  archive.end({ forceZip64Format: options.forceZip64Format ?? false, comment: '' })
  const chunks: Buffer[] = []
  for await (const chunk of archive.outputStream) chunks.push(Buffer.from(chunk as Uint8Array))
  return new Uint8Array(Buffer.concat(chunks))
}
