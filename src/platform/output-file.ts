/** Files that a command writes where its user says: checked before the work begins, so that no work is lost and nothing is overwritten by mistake. */
import {
  type BigIntStats,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readSync,
  realpathSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { basename, dirname, isAbsolute, join, resolve, sep } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Interrupted, UserError } from './errors.ts'
import { replaceFile, replaceFileWith, temporaryPath } from './files.ts'
import { makeTempFolder } from './temp-folder.ts'

export type OutputOptions = {
  /** The files and folders that the command reads, as paths or URLs. None of them is ever overwritten. */
  inputs: readonly (string | undefined)[]
  /** Text that files of this kind contain in their first 64 kB or last 4 kB when this tool wrote them. Such a file may be replaced. */
  marker: string
  /** Replace an existing file whatever it is, unless it is an input. */
  force?: boolean | undefined
  /** The flag that names the output, for hints. */
  flag?: string
}

export type OutputFile = {
  path: string
  /** Whether the content goes to standard output. */
  isStdout: boolean
  /** Whether it is a pipe or a device, to which the content goes as it is written. */
  isStream: boolean
  /**
   * Replaces a file as a whole; a pipe or a device is written to.
   * @throws UserError when the path was taken since it was checked. Interrupted when the signal is aborted while a pipe has no reader.
   */
  write(parts: Iterable<Uint8Array | string>, signal?: AbortSignal): Promise<void>
  /**
   * The same for content that is too large for memory: `fill` writes it to a temporary path.
   * @throws as `write` does; whatever `fill` throws, and then nothing is replaced.
   */
  fill(fill: (temporary: string) => Promise<void>, signal?: AbortSignal): Promise<void>
}

/**
 * Checks where a result will be written; `-` is standard output. Nothing is written or created yet.
 * @throws UserError when the path is an input (also through links and other spellings), a file that this tool did not write, a folder, or cannot be
 * written to.
 */
export function openOutputFile(path: string, options: OutputOptions): OutputFile {
  const descriptor = descriptorOf(path)
  if (descriptor !== undefined) {
    checkDescriptor(descriptor, path, options)
    return {
      path,
      isStdout: descriptor === 1,
      isStream: true,
      write: (parts, signal) => writeToDescriptor(descriptor, path, parts, signal),
      fill: (fill, signal) => fillStream(fill, (parts) => writeToDescriptor(descriptor, path, parts, signal)),
    }
  }
  const check = () => checkPath(path, options)
  const { isStream } = check()
  return {
    path,
    isStdout: false,
    isStream,
    write: async (parts, signal) => {
      const target = check()
      if (target.isStream) return writeToStream(target.file, parts, signal)
      replaceFile(target.file, parts)
    },
    fill: async (fill, signal) => {
      const { file, isStream } = check()
      if (isStream) return fillStream(fill, (parts) => writeToStream(file, parts, signal))
      await replaceFileWith(file, async (temporary) => {
        await fill(temporary)
        check()
      })
    },
  }
}

/** Passes the content of a temporary file on. */
async function fillStream(
  fill: (temporary: string) => Promise<void>,
  write: (parts: Iterable<Uint8Array>) => Promise<void>,
) {
  const folder = await makeTempFolder()
  try {
    const file = folder.newFile('')
    await fill(file)
    await write(partsOf(file))
  } finally {
    await folder.remove()
  }
}

const partBytes = 2 ** 20

function* partsOf(file: string): Generator<Uint8Array> {
  const fd = openSync(file, 'r')
  try {
    for (;;) {
      const bytes = Buffer.alloc(partBytes)
      const length = readSync(fd, bytes)
      if (length === 0) return
      yield bytes.subarray(0, length)
    }
  } finally {
    closeSync(fd)
  }
}

/** `-`, `/dev/stdout`, `/dev/fd/3`: opening these again would lose the position of a file, and fails for sockets. */
function descriptorOf(path: string): number | undefined {
  if (path === '-' || path === '/dev/stdout') return 1
  if (path === '/dev/stderr') return 2
  const number = /^\/(?:dev|proc\/self)\/fd\/(\d+)$/.exec(path)?.[1]
  return number === undefined ? undefined : Number(number)
}

function checkDescriptor(descriptor: number, path: string, { inputs, flag = '--out' }: OutputOptions) {
  const hint = `choose another ${flag}`
  const found = openDescriptor(descriptor)
  if (!found) throw new UserError(`${path} is not open`, { hint })
  if (!(found.isFile() || found.isFIFO() || found.isCharacterDevice() || found.isSocket()))
    throw new UserError(`${path} is neither a file nor a pipe`, { hint })
  const input = inputs.find((input) => input !== undefined && isSame(found, statOf(localPath(input))))
  if (input !== undefined) throw isInputError(path, input, flag)
}

function openDescriptor(descriptor: number): BigIntStats | undefined {
  try {
    return fstatSync(descriptor, { bigint: true })
  } catch {
    return undefined
  }
}

/**
 * The path with its folders resolved, as it will be understood when all of them exist: until a folder was created, the system finds nothing at
 * `<folder>/../<file>`. A link at the end of the path stays.
 */
export function canonicalPath(path: string): string {
  if (sep === '\\') return resolve(path) // Windows leaves folders by their names as well
  const names = path.split(sep)
  let folder = isAbsolute(path) ? sep : process.cwd()
  for (const [i, name] of names.entries()) {
    if (name === '' || name === '.') continue
    folder = name === '..' ? dirname(folder) : join(folder, name)
    if (i < names.length - 1 && ifThere(() => statSync(folder))) folder = realpathSync(folder)
  }
  return folder
}

/** @returns the file behind links, and whether it is a pipe or a device. */
function checkPath(given: string, { inputs, marker, force = false, flag = '--out' }: OutputOptions) {
  const path = localPath(given)
  const hint = `choose another ${flag}`
  if (path.trim() === '' || path.includes('\0'))
    throw new UserError(`${flag} is ${JSON.stringify(path)}`, { hint: `name a file with ${flag}` })
  const isFolder = () => new UserError(`${path} is a folder`, { hint: `name a file with ${flag}` })
  if (/[/\\]$/.test(path)) throw isFolder()
  const resolved = canonicalPath(path)
  const found = ifThere(() => statSync(resolved))
  if (!found) {
    if (ifThere(() => lstatSync(resolved)))
      throw new UserError(`${path} is a link to a place that does not exist`, { hint })
    requireWritableFolder(resolved, path, flag)
    return { file: resolved, isStream: false }
  }
  const input = inputs.find((input) => input !== undefined && isInput(resolved, input, marker))
  if (input !== undefined) throw isInputError(path, input, flag)
  if (found.isDirectory()) throw isFolder()
  if (found.isFIFO() || found.isCharacterDevice()) return { file: resolved, isStream: true }
  if (!found.isFile()) throw new UserError(`${path} is not a regular file`, { hint })
  if (!force && !contains(resolved, marker))
    throw new UserError(`${path} exists already, and this command did not write it`, {
      hint: `${hint}, or replace it with --force`,
    })
  const file = realpathSync(resolved) // a link stays a link
  requireWritableFolder(file, path, flag)
  return { file, isStream: false }
}

/** A file in a folder that is read is an input too, unless an earlier run of this command wrote it. */
function isInput(path: string, input: string, marker: string): boolean {
  const local = localPath(input)
  const [output, other] = [statOf(path), statOf(local)]
  if (!output || !other) return false
  if (isSame(output, other)) return true
  const isInside = other.isDirectory() && realpathSync(path).startsWith(realpathSync(local) + sep)
  return isInside && output.isFile() && !contains(path, marker)
}

const statOf = (path: string) => ifThere(() => statSync(path, { bigint: true }))

const isSame = (a: BigIntStats, b: BigIntStats | undefined) => a.ino === b?.ino && a.dev === b.dev

const isInputError = (path: string, input: string, flag: string) =>
  new UserError(`${path} is an input of this command${input === path ? '' : ` (${input})`}`, {
    hint: `choose another ${flag}: an input is never overwritten`,
  })

function localPath(input: string): string {
  if (!/^file:/i.test(input)) return input
  try {
    return fileURLToPath(input)
  } catch {
    return input // refused where it is read
  }
}

/**
 * Creates a file and removes it again, in the nearest folder that exists: nothing else tells for certain whether files can be created.
 * @throws UserError when it takes no files.
 */
function requireWritableFolder(resolved: string, path: string, flag: string) {
  let folder = dirname(resolved)
  while (!ifThere(() => lstatSync(folder)) && folder !== dirname(folder)) folder = dirname(folder)
  const found = ifThere(() => statSync(folder))
  if (found && !found.isDirectory())
    throw new UserError(`${path} cannot be written: ${folder} is a file`, { hint: `choose another ${flag}` })
  const probe = temporaryPath(join(folder, basename(resolved)))
  try {
    closeSync(openSync(probe, 'wx'))
    rmSync(probe, { force: true })
  } catch (cause) {
    throw new UserError(`${path} cannot be written: ${folder} takes no files`, {
      hint: `check its permissions, or choose another ${flag}`,
      cause,
    })
  }
}

function ifThere<T>(stat: () => T): T | undefined {
  try {
    return stat()
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined
    throw error
  }
}

const headBytes = 65_536
const tailBytes = 4096

/** Whether the text is in the first 64 kB or the last 4 kB of a file. */
export function contains(path: string, marker: string): boolean {
  const fd = openSync(path, 'r')
  try {
    const { size } = fstatSync(fd)
    const read = (length: number, position: number) => {
      const bytes = Buffer.alloc(length)
      return bytes.subarray(0, readSync(fd, bytes, 0, length, position))
    }
    return (
      read(Math.min(size, headBytes), 0).includes(marker) ||
      read(Math.min(size, tailBytes), Math.max(0, size - tailBytes)).includes(marker)
    )
  } finally {
    closeSync(fd)
  }
}

/** Milliseconds between two attempts to write to a pipe that has no reader yet or is full. */
const pipePause = 20

/** Opened without blocking: a blocked process could not be stopped by Ctrl-C. */
async function writeToStream(path: string, parts: Iterable<Uint8Array | string>, signal?: AbortSignal) {
  const open = () => openSync(path, constants.O_WRONLY | constants.O_NONBLOCK)
  const fd = await retryWhile('ENXIO', open, signal)
  try {
    await writeToDescriptor(fd, path, parts, signal)
  } finally {
    closeSync(fd)
  }
}

async function writeToDescriptor(fd: number, path: string, parts: Iterable<Uint8Array | string>, signal?: AbortSignal) {
  try {
    for (const part of parts) {
      const bytes = Buffer.from(part as Uint8Array)
      for (let done = 0; done < bytes.length; )
        done += await retryWhile('EAGAIN', () => writeSync(fd, bytes, done), signal)
    }
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'EBADF' || code === 'EINVAL') throw new UserError(`${path} cannot be written to`, { cause })
    if (code === 'ENOSPC') throw new UserError(`there is no room to write ${path}`, { cause, code: 'machine_error' })
    if (code !== 'EPIPE') throw cause
    throw new UserError(`the program that reads ${path} ended before everything was written`, { cause })
  }
}

async function retryWhile<T>(code: string, attempt: () => T, signal?: AbortSignal): Promise<T> {
  for (;;) {
    try {
      return attempt()
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== code) throw error
    }
    if (signal?.aborted) throw new Interrupted('stopped before the result was written')
    await setTimeout(pipePause)
  }
}
