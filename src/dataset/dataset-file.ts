/** The files of a dataset by their names: what part of a pair each is. */
import { audioExtensions } from '../audio/decode.ts'

/**
 * `unnamed` is audio whose name ends in neither `_start` nor `_end`. `unread-reference` and `unread-target` are named like a side of a pair, but have no
 * audio format. A `document` is text that is not `.txt`.
 */
export type Role =
  | 'reference'
  | 'target'
  | 'caption'
  | 'unnamed'
  | 'unread-reference'
  | 'unread-target'
  | 'archive'
  | 'document'

/** Paths inside the source. */
export type Pair = { name: string; reference: string; target: string; caption?: string }

/** `name` is that of the pair; the extension includes its dot and is in lower case. */
export type NamedFile = { role: Role; name: string; extension: string; path: string }

/** The files that have to do with pairs. Hidden files, `__MACOSX`, rejected files, and files such as pictures have not. */
export function namedFiles(paths: readonly string[]): NamedFile[] {
  const isRejected = rejectedFiles(paths)
  return paths.filter((path) => isVisible(path) && isRejected(path) === undefined).flatMap(classify)
}

/** The folder in which `fix-dataset` keeps what it rejected, and the file in it that says why. */
export const rejectedFolder = 'rejected'
export const reasonsFile = 'reasons.txt'

/** The file with the strengths of each pair that `make-pairs` writes. */
export const madePairsRecord = 'make-pairs.json'

/** Tells for each path the part below the folder of rejected files; undefined for all others. Only the file with the reasons makes it such a folder. */
export function rejectedFiles(paths: readonly string[]): (path: string) => string | undefined {
  const suffix = `${rejectedFolder}/${reasonsFile}`
  const folders = paths
    .filter((path) => path === suffix || path.endsWith(`/${suffix}`))
    .map((path) => path.slice(0, -reasonsFile.length))
  return (path) => {
    const folder = folders.find((folder) => path.startsWith(folder))
    return folder === undefined ? undefined : path.slice(folder.length)
  }
}

/** Excludes files that macOS adds to folders and archives, and other hidden files. */
export const isVisible = (path: string) =>
  path.split('/').every((part) => !part.startsWith('.') && part !== '__MACOSX' && part !== '')

export const fileName = (path: string) => path.slice(path.lastIndexOf('/') + 1)

function classify(path: string): NamedFile[] {
  const file = fileName(path).normalize('NFC') // macOS stores é as e followed by a combining accent
  const [, stem = file, dotted = ''] = file.match(/^(.*)(\.[^.]*)$/s) ?? []
  const extension = dotted.toLowerCase()
  const as = (role: Role, name: string): NamedFile[] => [{ role, name, extension, path }]
  if (extension === '.txt') return as('caption', stem)
  if (audioExtensions.includes(extension)) {
    const [, name, suffix] = stem.match(/^(.+)_(start|end)$/is) ?? []
    return name === undefined ? as('unnamed', stem) : as(isStart(suffix) ? 'reference' : 'target', name)
  }
  if (archives.includes(extension)) return as('archive', stem)
  const [, name, suffix] = file.match(/^(.+)_(start|end)(\.[^.]*)*$/is) ?? []
  if (name !== undefined) return as(isStart(suffix) ? 'unread-reference' : 'unread-target', name)
  return documents.includes(extension) ? as('document', stem) : []
}

const isStart = (suffix: string | undefined) => suffix?.toLowerCase() === 'start'

const archives = ['.zip', '.rar', '.7z', '.tar', '.tgz', '.gz', '.bz2', '.xz', '.zst']

const documents = [
  ...['.text', '.md', '.caption', '.captions', '.tags', '.lab', '.srt', '.vtt', '.rtf', '.doc', '.docx', '.odt'],
  ...['.json', '.jsonl', '.csv', '.tsv', '.yaml', '.yml', '.xml'],
]
