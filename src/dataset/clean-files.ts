/** Clean recordings, each of which becomes a pair: from folders, zips, URLs and single files. */
import { statSync } from 'node:fs'
import { extname } from 'node:path'
import { hasAudioExtension } from '../audio/decode.ts'
import type { Limits } from '../config/limits.ts'
import { fileNameOf, parseLocation, shownLocation } from '../net/location.ts'
import { UserError } from '../platform/errors.ts'
import { fileName, isVisible } from './dataset-file.ts'
import { safeName, uniqueName } from './repair/names.ts'
import { findPairFiles } from './repair/pair-files.ts'
import { openSource, readSmallFile, type SourceOptions } from './source.ts'

export type CleanFile = {
  /** A valid name for the pair. */
  name: string
  /** What it is called in messages: its path, also inside of a zip or a folder. */
  path: string
  withFile<Result>(use: (file: string) => Promise<Result>): Promise<Result>
  /** `<name>.txt` beside it. */
  caption?: { path: string; read(): Promise<Uint8Array> }
}

export type CleanFiles = {
  files: readonly CleanFile[]
  /** The folders, zips and URLs that have pairs. */
  withPairs: readonly string[]
  close(): Promise<void>
}

/**
 * @param locations folders, zips or URLs as `openSource` takes them, and audio files.
 * @throws UserError when a location cannot be opened, or has no audio.
 */
export async function openCleanFiles(locations: readonly string[], options: SourceOptions = {}): Promise<CleanFiles> {
  const taken = new Set<string>()
  const files: CleanFile[] = []
  const withPairs: string[] = []
  const opened: { close(): Promise<void> }[] = []
  const close = async () => {
    for (const source of opened) await source.close()
  }
  const nameOf = (path: string) => uniqueName(safeName(stemOf(fileName(path))), taken)
  try {
    for (const location of locations) {
      const parsed = parseLocation(location)
      if (parsed.kind === 'path' && hasAudioExtension(parsed.path)) {
        files.push(singleFile(parsed.path, nameOf(fileNameOf(parsed)), options.limits))
        continue
      }
      const source = await openSource(location, options)
      opened.push(source)
      const paths = source.paths.filter((path) => isVisible(path) && hasAudioExtension(path))
      if (paths.length === 0)
        throw new UserError(`${shownLocation(parsed)} has no recordings`, { hint: 'put audio files into it' })
      if (findPairFiles(paths).pairs.length > 0) withPairs.push(shownLocation(parsed))
      for (const path of paths) {
        const caption = `${stemOf(path)}.txt`
        files.push({
          name: nameOf(path),
          path,
          withFile: (use) => source.withFile(path, use),
          ...(source.paths.includes(caption) && { caption: { path: caption, read: () => source.readText(caption) } }),
        })
      }
    }
  } catch (error) {
    await close()
    throw error
  }
  return { files, withPairs, close }
}

const stemOf = (path: string) => path.slice(0, path.length - extname(path).length)

function singleFile(path: string, name: string, limits?: Limits): CleanFile {
  const caption = `${stemOf(path)}.txt`
  return {
    name,
    path,
    withFile: (use) => use(path),
    ...(isFile(caption) && { caption: { path: caption, read: () => readSmallFile(caption, caption, limits) } }),
  }
}

const isFile = (path: string) => statSync(path, { throwIfNoEntry: false })?.isFile() === true
