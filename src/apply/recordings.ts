/** Which recordings are transformed, and where the results go. */
import { existsSync, statSync } from 'node:fs'
import { basename, extname, isAbsolute, join, relative, resolve, sep } from 'node:path'
import { glob, isDynamicPattern } from 'tinyglobby'
import { audioExtensions } from '../audio/decode.ts'
import { namedExtensions, requireWritableFormat } from '../audio/encode.ts'
import type { ApplySettings } from '../config/settings.ts'
import { isVisible } from '../dataset/dataset-file.ts'
import { openSource } from '../dataset/source.ts'
import { fileNameOf, parseLocation, shownLocation } from '../net/location.ts'
import { UserError } from '../platform/errors.ts'

export type Recording = {
  /** A path or URL. */
  location: string
  /** What it is called in messages. */
  name: string
  /** The file of the result. */
  out: string
}

/** @throws UserError for a path that does not exist, a pattern or folder without recordings, and results that would have the same name. */
export async function findRecordings(settings: Pick<ApplySettings, 'inputs' | 'out' | 'format'>): Promise<Recording[]> {
  const found = (await Promise.all(settings.inputs.map((input) => filesOf(input, settings.out)))).flat()
  const unique = [...new Map(found.map((file) => [file.location, file])).values()]
  if (unique.length === 1) refuseUnknownFormat(settings.out)
  const recordings = isSoundFile(settings.out)
    ? withOneOutput(unique, settings)
    : unique.map((file) => ({ ...file, out: join(settings.out, resultName(file.below, settings.format)) }))
  const byOutput = new Map<string, Recording>()
  for (const recording of recordings) {
    const other = byOutput.get(recording.out)
    if (other)
      throw new UserError(`${other.name} and ${recording.name} would both become ${recording.out}`, {
        hint: 'rename one of them, or transform them into different folders',
      })
    byOutput.set(recording.out, recording)
  }
  return recordings.map(({ location, name, out }) => ({ location, name, out }))
}

/** A recording, and its path below the folder or pattern that was given. */
type Found = { location: string; name: string; below: string }

async function filesOf(input: string, out: string): Promise<Found[]> {
  const location = parseLocation(input)
  if (location.kind === 'url') return [{ location: input, name: shownLocation(location), below: fileNameOf(location) }]
  const { path } = location
  const found = statSync(path, { throwIfNoEntry: false })
  if (found?.isDirectory()) return folderFiles(path, out)
  if (found) return [{ location: path, name: path, below: basename(path) }]
  if (!isDynamicPattern(path)) throw new UserError(`${path} does not exist`, { hint: 'check the path' })
  return patternFiles(path)
}

/** Results below the folder are not transformed again. */
async function folderFiles(folder: string, out: string): Promise<Found[]> {
  if (resolve(out) === resolve(folder))
    throw new UserError(`${folder} cannot be both the input and the output`, { hint: 'name another folder with --out' })
  const source = await openSource(folder)
  try {
    const [problem] = source.problems
    if (problem) throw new UserError(problem.message, { hint: problem.hint })
    const isResult = (path: string) => resolve(folder, path).startsWith(resolve(out) + sep)
    const paths = source.paths.filter((path) => isVisible(path) && isRecording(path) && !isResult(path))
    if (paths.length === 0)
      throw new UserError(`${folder} has no recordings`, {
        hint: `they end in ${audioExtensions.slice(0, 6).join(' ')} …`,
      })
    return paths.map((below) => ({ location: join(folder, below), name: join(folder, below), below }))
  } finally {
    await source.close()
  }
}

async function patternFiles(pattern: string): Promise<Found[]> {
  const options = { expandDirectories: false, absolute: isAbsolute(pattern) }
  const paths = (await glob(pattern.replaceAll(sep, '/'), options)).filter(isRecording).sort()
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

const isRecording = (path: string) => audioExtensions.includes(extname(path).toLowerCase())

/** Whether the output is a file and not a folder. */
const isSoundFile = (path: string) => isRecording(path) && !isFolder(path)

const isFolder = (path: string) => existsSync(path) && statSync(path).isDirectory()

function withOneOutput(files: readonly Found[], { out, format }: Pick<ApplySettings, 'out' | 'format'>) {
  requireWritableFormat(out)
  if (!namedExtensions.includes(extname(out).toLowerCase()))
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
  if (isLikelyFile && !isRecording(out)) requireWritableFormat(out)
}

function resultName(below: string, format: ApplySettings['format']): string {
  const extension = extname(below)
  const own = namedExtensions.includes(extension.toLowerCase()) ? extension : '.wav'
  return below.slice(0, below.length - extension.length) + (format === undefined ? own : `.${format}`)
}
