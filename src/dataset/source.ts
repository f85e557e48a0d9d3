/** Where the files of a dataset come from: a zip, a folder, or a zip on the web. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { defaultLimits, type Limits, raiseLimitHint } from '../config/limits.ts'
import { openFile } from '../net/download.ts'
import { datasetName, parseLocation, shownLocation } from '../net/location.ts'
import { UserError, withCode } from '../platform/errors.ts'
import { decodeText } from '../platform/text.ts'
import { isVisible } from './dataset-file.ts'
import { type FileTree, openZip, zipLimits } from './zip.ts'
import { escapeBytes } from './zip-names.ts'

export type Source = FileTree & {
  /** The name of the dataset, usable as part of a folder name. */
  readonly name: string
  /** What the dataset is called in messages. */
  readonly location: string
  /** What its files may cost at most. */
  readonly limits: Limits
  /** Stops the work with its files. */
  readonly signal?: AbortSignal | undefined
  /** The content of a small file, such as a caption. */
  readText(path: string): Promise<Uint8Array>
}

export type SourceOptions = { limits?: Limits | undefined; signal?: AbortSignal | undefined }

/**
 * Opens a zip file, a folder, or an `http(s):` or `file:` URL of either. The caller closes it.
 * @throws UserError when it is missing, not a zip, empty, encrypted, damaged, or over the limits.
 */
export async function openSource(location: string, options: SourceOptions = {}): Promise<Source> {
  const { limits = defaultLimits, signal } = options
  const parsed = parseLocation(location)
  const shown = shownLocation(parsed)
  const tree =
    parsed.kind === 'path' && (await isFolder(parsed.path))
      ? await openFolder(parsed.path)
      : await openArchive(location, shown, { limits, signal })
  const readText = (path: string) => tree.withFile(path, (file) => readSmallFile(file, path, limits))
  return { name: datasetName(parsed), location: shown, limits, signal, ...tree, readText }
}

const isFolder = (path: string) =>
  stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )

async function openArchive(
  location: string,
  shown: string,
  { limits, signal }: { limits: Limits; signal: AbortSignal | undefined },
): Promise<FileTree> {
  const file = await openFile(location, { limits, signal })
  try {
    const zip = await openZip(file.path, shown, zipLimits(limits), signal)
    return { ...zip, close: () => zip.close().finally(file.close) }
  } catch (error) {
    await file.close()
    throw withCode(error, 'invalid_archive')
  }
}

async function openFolder(folder: string): Promise<FileTree> {
  const { paths, problems } = await filesBelow(folder, '')
  if (paths.length === 0 && problems.length === 0)
    throw new UserError(`${folder} has no files`, { hint: 'put the pairs into it' })
  return {
    paths: paths.sort(),
    problems,
    withFile: (path, use) => use(join(folder, path)),
    close: async () => {},
  }
}

type Listing = Pick<FileTree, 'problems'> & { paths: string[] }

/** Links to files are followed. Links to folders are not, because they may form a cycle. @param below the folder's own path with a `/`, or nothing. */
async function filesBelow(folder: string, below: string): Promise<Listing> {
  const entries = await readdir(join(folder, below), { withFileTypes: true, encoding: 'buffer' }).catch((cause) => {
    throw new UserError(`the folder ${join(folder, below)} cannot be read`, { hint: 'check its permissions', cause })
  })
  const listings = await Promise.all(
    entries.map(async (entry): Promise<Listing> => {
      const name = decodeText(entry.name)
      if (name === undefined) return unused(`${below}${escapeBytes(entry.name)}`, 'its name is not UTF-8')
      const path = below + name
      if (entry.isDirectory()) return filesBelow(folder, `${path}/`)
      if (entry.isFile()) return { paths: [path], problems: [] }
      const target = await stat(join(folder, path)).catch(() => undefined)
      if (target?.isFile()) return { paths: [path], problems: [] }
      if (target === undefined) return unused(path, 'it is a link to a file that cannot be found')
      return unused(path, target.isDirectory() ? 'links to folders are not followed' : 'it is not a regular file')
    }),
  )
  return {
    paths: listings.flatMap(({ paths }) => paths),
    problems: listings.flatMap(({ problems }) => problems),
  }
}

const unused = (path: string, reason: string): Listing => ({
  paths: [],
  problems: isVisible(path) ? [{ severity: 'warning', message: `${path} is not used: ${reason}`, file: path }] : [],
})

/**
 * The content of a caption file.
 * @param path what the file is called in messages.
 * @throws UserError when it cannot be opened or is over the limit.
 */
export async function readSmallFile(file: string, path: string, limits: Limits = defaultLimits): Promise<Uint8Array> {
  const { size } = await stat(file)
  const largest = limits['caption-kib'] * 1024 // the text encoder reads at most 1024 tokens
  if (size > largest)
    throw new UserError(`${path} has ${size} bytes`, {
      hint: `a caption is a sentence or two of plain text; if it is intended, ${raiseLimitHint('caption-kib', size / 1024)}`,
    })
  return readFile(file).catch((cause) => {
    throw new UserError(`${path} cannot be opened`, { hint: 'check its permissions', cause })
  })
}
