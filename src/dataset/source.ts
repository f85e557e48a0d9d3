/** Where the files of a dataset come from: a zip, a folder, or a zip on the web. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'
import { limit, raisable } from '../config/limits.ts'
import { openFile } from '../net/download.ts'
import { datasetName, parseLocation, shownLocation } from '../net/location.ts'
import { UserError } from '../platform/errors.ts'
import { openZip } from './zip.ts'

export type Source = {
  /** What the dataset is called, fit to be part of a folder's name. */
  readonly name: string
  /** For messages. */
  readonly location: string
  /** All files, sorted, parts separated by `/`. A zip may hold one path twice. */
  readonly paths: readonly string[]
  /** Lends one file as a local file with the same extension; an extracted one is gone afterwards. */
  withFile<Result>(path: string, use: (file: string) => Promise<Result>): Promise<Result>
  /** The content of a small file, such as a caption. */
  readText(path: string): Promise<Uint8Array>
  /** Closes the archive and removes everything temporary. */
  close(): Promise<void>
}

/** What a zip and a folder offer each in its own way; the rest of a source is the same for either. */
export type FileTree = Pick<Source, 'paths' | 'withFile' | 'close'>

/**
 * Opens a zip file, a folder, or an `http(s):` or `file:` URL of either kind. Close it in any case.
 * @throws UserError when it is missing, not a zip, empty, encrypted, damaged, or larger than the limits in zip.ts.
 */
export async function openSource(location: string): Promise<Source> {
  const place = parseLocation(location)
  const shown = shownLocation(place)
  const tree =
    place.kind === 'path' && (await isFolder(place.path))
      ? await openFolder(place.path)
      : await openArchive(location, shown)
  const readText = (path: string) => tree.withFile(path, (file) => readSmallFile(file, path))
  return { name: datasetName(place), location: shown, ...tree, readText }
}

const isFolder = (path: string) =>
  stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )

async function openArchive(location: string, shown: string): Promise<FileTree> {
  const file = await openFile(location)
  try {
    const zip = await openZip(file.path, shown)
    return { ...zip, close: () => zip.close().finally(file.close) }
  } catch (error) {
    await file.close()
    throw error
  }
}

async function openFolder(folder: string): Promise<FileTree> {
  const paths = (await filesBelow(folder)).map((path) => relative(folder, path).split(sep).join('/')).sort()
  if (paths.length === 0) throw new UserError(`${folder} has no files`, { hint: 'put the pairs into it' })
  return {
    paths,
    withFile: (path, use) => use(join(folder, path)),
    close: async () => {},
  }
}

/** Links to files are followed, links to folders are not: they may lead in circles. */
async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true })
  const found = await Promise.all(
    entries.map(async (entry) => {
      const path = join(folder, entry.name)
      if (entry.isDirectory()) return filesBelow(path)
      const target = await stat(path).catch(() => undefined)
      return target?.isFile() ? [path] : []
    }),
  )
  return found.flat()
}

async function readSmallFile(file: string, path: string): Promise<Uint8Array> {
  const { size } = await stat(file)
  const largest = limit('caption-kib') * 1024 // of which the text encoder reads 1024 tokens
  if (size > largest)
    throw new UserError(`${path} has ${size} bytes`, {
      hint: `a caption is a sentence or two of plain text; if it is meant, ${raisable('caption-kib', size / 1024)}`,
    })
  return readFile(file)
}
