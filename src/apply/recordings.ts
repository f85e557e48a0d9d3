/** Which recordings are transformed, and where the results go. */
import { existsSync, realpathSync, statSync } from 'node:fs'
import { basename, extname, isAbsolute, join, relative, sep } from 'node:path'
import { glob, isDynamicPattern } from 'tinyglobby'
import { audioExtensions, hasAudioExtension } from '../audio/decode.ts'
import { extensionsWithComment, requireWritableFormat } from '../audio/encode.ts'
import type { ApplySettings } from '../config/settings.ts'
import { isVisible } from '../dataset/dataset-file.ts'
import type { Problem } from '../dataset/problem.ts'
import { openSource } from '../dataset/source.ts'
import { fileNameOf, parseLocation, shownLocation } from '../net/location.ts'
import { entryPlace, UserError, withParameter } from '../platform/errors.ts'
import { canonicalPath } from '../platform/output-file.ts'

export type Recording = {
  /** A path or URL. */
  location: string
  /** What it is called in messages. */
  name: string
  /** The file of the result. */
  out: string
  /** Why it cannot be read, where that is known already. */
  problem?: Problem
}

/** @throws UserError for a path that does not exist, a pattern or folder without recordings, and results that would have the same name. */
export async function findRecordings(settings: Pick<ApplySettings, 'inputs' | 'out' | 'format'>): Promise<Recording[]> {
  const { inputs, out } = settings
  const filesOfEntry = (input: string, i: number) =>
    withParameter('inputs', () => filesOf(input, out), entryPlace(inputs, i))
  const found = (await Promise.all(inputs.map(filesOfEntry))).flat()
  const unique = [...new Map(found.map((file) => [placeOf(file.location), file])).values()]
  if (settings.out === '-' || /^\/dev\//.test(settings.out))
    throw new UserError(`${settings.out} is not a folder`, {
      hint: 'name a folder with --out, or a file for one recording',
    })
  if (unique.length === 1) refuseUnknownFormat(settings.out)
  const recordings = isSoundFile(settings.out)
    ? withOneOutput(unique, settings)
    : unique.map((file) => ({ ...file, out: join(settings.out, resultName(file.below, settings.format)) }))
  const byOutput = new Map<string, Recording>()
  for (const recording of recordings) {
    const other = byOutput.get(withoutCase(recording.out))
    if (other)
      throw new UserError(`${other.name} and ${recording.name} would both become ${recording.out}`, {
        hint: 'rename one of them, or transform them into different folders',
      })
    byOutput.set(withoutCase(recording.out), recording)
  }
  return recordings.map(({ below: _, ...recording }) => recording)
}

/** The same file has the same place, whatever the spelling. */
const placeOf = (location: string) => (existsSync(location) ? realpathSync(location) : location)

/** On these systems, names that differ in case are the same file. */
const withoutCase = (path: string) => (['darwin', 'win32'].includes(process.platform) ? path.toLowerCase() : path)

/** A recording, and its path below the folder or pattern that was given. */
type Found = Omit<Recording, 'out'> & { below: string }

async function filesOf(input: string, out: string): Promise<Found[]> {
  const location = parseLocation(input)
  if (location.kind === 'url') return [{ location: input, name: shownLocation(location), below: fileNameOf(location) }]
  const { path } = location
  const found = statSync(path, { throwIfNoEntry: false })
  if (found?.isDirectory()) return folderFiles(path, out)
  if (found) return [{ location: path, name: path, below: basename(path) }]
  if (!isDynamicPattern(path))
    throw new UserError(`${path} does not exist`, { hint: 'check the path', code: 'file_download_error' })
  return patternFiles(path, out)
}

/** Results below the folder are not transformed again. */
async function folderFiles(folder: string, out: string): Promise<Found[]> {
  const [from, to] = [realpathSync(folder), placeOfFolder(out)]
  if (from === to)
    throw new UserError(`${folder} cannot be both the input and the output`, { hint: 'name another folder with --out' })
  const source = await openSource(folder)
  try {
    const isResult = (path: string) => join(from, path).startsWith(to + sep)
    const paths = source.paths.filter((path) => isVisible(path) && hasAudioExtension(path) && !isResult(path))
    const problems = source.problems.map((problem): Found => {
      const below = problem.file ?? ''
      return { location: join(folder, below), name: join(folder, below), below, problem }
    })
    if (paths.length + problems.length === 0)
      throw new UserError(`${folder} has no recordings`, {
        hint: `they end in ${audioExtensions.slice(0, 6).join(' ')} …`,
      })
    const recordings = paths.map(
      (below): Found => ({ location: join(folder, below), name: join(folder, below), below }),
    )
    return [...recordings, ...problems]
  } finally {
    await source.close()
  }
}

async function patternFiles(pattern: string, out: string): Promise<Found[]> {
  const options = { expandDirectories: false, absolute: isAbsolute(pattern), followSymbolicLinks: false }
  const to = placeOfFolder(out)
  const isResult = (path: string) => realpathSync(path).startsWith(to + sep)
  const found = await glob(pattern.replaceAll(sep, '/'), options)
  const paths = found.filter((path) => hasAudioExtension(path) && !isResult(path)).sort()
  if (paths.length === 0) throw new UserError(`no recording matches ${pattern}`, { hint: 'check the pattern' })
  const segments = pattern.split(sep)
  const fixed = segments
    .slice(
      0,
      segments.findIndex((segment) => isDynamicPattern(segment)),
    )
    .join(sep)
  return paths.map((path) => ({ location: path, name: path, below: relative(fixed, path) }))
}

/** The real path of a folder that may not exist yet. */
const placeOfFolder = (path: string) => (existsSync(path) ? realpathSync(path) : canonicalPath(path))

/** Whether the output is a file and not a folder. */
const isSoundFile = (path: string) => hasAudioExtension(path) && !isFolder(path)

const isFolder = (path: string) => existsSync(path) && statSync(path).isDirectory()

function withOneOutput(files: readonly Found[], { out, format }: Pick<ApplySettings, 'out' | 'format'>) {
  requireWritableFormat(out)
  if (!extensionsWithComment.includes(extname(out).toLowerCase()))
    throw new UserError(`${out}: a file of this format cannot hold what it was made of`, {
      hint: 'use .m4a or another format',
    })
  if (files.length > 1)
    throw new UserError(`${files.length} recordings cannot all become ${out}`, { hint: 'name a folder with --out' })
  if (format !== undefined && extname(out).toLowerCase() !== `.${format}`)
    throw new UserError(`--format is ${format}, but --out is ${out}`, { hint: 'leave one of them out' })
  return files.map((file) => ({ ...file, out }))
}

/** A mistyped extension would otherwise become a folder. */
function refuseUnknownFormat(out: string) {
  const isLikelyFile = /\.[a-z][a-z0-9]{1,4}$/i.test(out) && !isFolder(out)
  if (isLikelyFile && !hasAudioExtension(out)) requireWritableFormat(out)
}

function resultName(below: string, format: ApplySettings['format']): string {
  const extension = extname(below)
  const own = extensionsWithComment.includes(extension.toLowerCase()) ? extension : '.wav'
  return below.slice(0, below.length - extension.length) + (format === undefined ? own : `.${format}`)
}
