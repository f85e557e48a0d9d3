/**
 * Finds and runs ffmpeg. ffmpeg-static downloads its binary during installation, which may have been blocked; @ffmpeg-installer contains its binary
 * in the package, but an old one, so it is tried last.
 */
import { once } from 'node:events'
import { access, chmod, constants } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { execa } from 'execa'
import { defaultLimits, type Limits } from '../config/limits.ts'
import { Interrupted, UserError } from '../platform/errors.ts'
import { atExit } from '../platform/files.ts'

export type Ffmpeg = {
  path: string
  /** Where it was found: `FFMPEG_PATH`, a package, or `the PATH`. */
  from: string
  version: string
  /** The filters that it was built with: their names, and what goes in and out, such as `A->V` for sound and pictures. */
  filters: ReadonlyMap<string, string>
}

export type FfmpegCandidate = { from: string; path: () => Promise<string | undefined> }

/** The results of `findFfmpeg` by the value of FFMPEG_PATH. */
const searches = new Map<string | undefined, Promise<Ffmpeg>>()

/**
 * Finds an ffmpeg that runs: FFMPEG_PATH, ffmpeg-static, the one on the PATH, @ffmpeg-installer/ffmpeg. The search is done once per process.
 * @throws UserError when FFMPEG_PATH is set to something that does not run, and when there is no ffmpeg.
 */
export function findFfmpeg(): Promise<Ffmpeg> {
  const key = process.env[environmentVariable]
  let search = searches.get(key)
  if (!search) {
    search = firstWorking(candidates)
    searches.set(key, search)
    search.catch(() => searches.delete(key))
  }
  return search
}

const environmentVariable = 'FFMPEG_PATH'

const candidates: FfmpegCandidate[] = [
  { from: environmentVariable, path: async () => process.env[environmentVariable] || undefined },
  { from: 'ffmpeg-static', path: async () => (await importIfInstalled('ffmpeg-static')) as string | undefined },
  { from: 'the PATH', path: async () => 'ffmpeg' },
  { from: '@ffmpeg-installer/ffmpeg', path: installedBinary },
]

/** The first candidate that runs. An FFMPEG_PATH that does not run is an error: it was chosen on purpose. */
export async function firstWorking(candidates: readonly FfmpegCandidate[]): Promise<Ffmpeg> {
  for (const { from, path } of candidates) {
    const name = await path()
    if (name === undefined) continue
    try {
      return { path: name, from, ...(await readCapabilities(name)) }
    } catch (cause) {
      if (from !== environmentVariable) continue
      throw new UserError(`FFMPEG_PATH is ${name}, which does not run`, {
        hint: 'set FFMPEG_PATH to an ffmpeg binary, or unset it',
        cause,
        code: 'machine_error',
      })
    }
  }
  throw new UserError('no ffmpeg was found', {
    hint: 'install ffmpeg, or set FFMPEG_PATH to its binary',
    code: 'machine_error',
  })
}

export type FfmpegOptions = {
  /** Written to its standard input. */
  input?: Uint8Array
  /** Called with each piece of its output, none of which is kept. ffmpeg is stopped when it throws. */
  onOutput?: (bytes: Uint8Array) => void
  limits?: Limits | undefined
  /** ffmpeg is stopped when it is aborted. */
  signal?: AbortSignal | undefined
}

/**
 * Runs ffmpeg with `args`.
 * @returns the warnings that ffmpeg printed although it succeeded, if any.
 * @throws FfmpegError with ffmpeg's last lines; FfmpegTimeout when it takes longer than the limit; Interrupted when the signal is aborted; whatever
 *   `onOutput` throws.
 */
export async function runFfmpeg(
  args: readonly string[],
  { input, onOutput = () => {}, limits = defaultLimits, signal }: FfmpegOptions = {},
): Promise<string | undefined> {
  const { path } = await findFfmpeg()
  const child = execa(path, [...quietly, ...args], {
    ...(input ? { input } : { stdin: 'ignore' as const }),
    encoding: 'buffer',
    buffer: false,
    reject: false,
    timeout: limits['decoding-seconds'] * 1000,
    killSignal: 'SIGKILL', // it may hang
    ...(signal && { cancelSignal: signal }),
    ...withoutSignals,
  })
  killAtExit(child)
  const messages = collectMessages(child.stderr)
  try {
    for await (const bytes of child.iterable({ from: 'stdout' })) onOutput(bytes)
  } catch (error) {
    child.kill('SIGKILL')
    await child
    throwIfAborted(signal)
    throw error
  }
  const result = await child
  throwIfAborted(signal)
  if (result.timedOut) throw new FfmpegTimeout('ffmpeg took too long')
  if (result.failed) throw new FfmpegError(messages(), result.shortMessage)
  return lastLines(messages()) || undefined
}

/** An ffmpeg process that reads what is written to it. */
export type FfmpegInput = {
  /** Waits until ffmpeg has taken what was written before. @throws FfmpegError when it has failed. */
  write(bytes: Uint8Array): Promise<void>
  /** Ends the input, and waits for ffmpeg. @throws FfmpegError when it failed. */
  end(): Promise<void>
  /** Stops ffmpeg, whatever it is doing. */
  kill(): Promise<void>
}

/** Starts ffmpeg with `args`, which read `pipe:0`. */
export async function openFfmpegInput(args: readonly string[]): Promise<FfmpegInput> {
  const { path } = await findFfmpeg()
  const child = execa(path, [...quietly, ...args], {
    stdin: 'pipe',
    stdout: 'ignore',
    encoding: 'buffer',
    buffer: false,
    reject: false,
    killSignal: 'SIGKILL',
    ...withoutSignals,
  })
  killAtExit(child)
  const messages = collectMessages(child.stderr)
  child.stdin.on('error', () => {}) // ffmpeg has ended: its messages say why
  const end = async () => {
    child.stdin.end()
    const result = await child
    if (result.failed) throw new FfmpegError(messages(), 'ffmpeg was stopped')
  }
  return {
    write: async (bytes) => {
      if (child.stdin.write(bytes)) return
      const drained = once(child.stdin, 'drain').then(() => true)
      const ended = child.then(() => false)
      if (!(await Promise.race([drained.catch(() => ended), ended]))) await end()
    },
    end,
    kill: async () => {
      child.kill('SIGKILL')
      await child
    },
  }
}

const quietly = ['-hide_banner', '-v', 'error', '-nostdin'] as const

/** Reads messages. @returns a function that returns those so far. */
function collectMessages(stderr: Readable): () => string {
  let messages = Buffer.alloc(0)
  stderr.on('data', (bytes: Buffer) => {
    messages = Buffer.concat([messages, bytes]).subarray(-maxMessageBytes) // a damaged file can cause megabytes of messages
  })
  return () => messages.toString('utf8')
}

/** The message is ffmpeg's last lines. */
export class FfmpegError extends Error {
  override readonly name = 'FfmpegError'
  /** What went wrong first; the lines that follow often only say that ffmpeg gave up. */
  readonly reason: string
  /** As system errors have it; only where the disk was full. */
  readonly code?: 'ENOSPC'

  /** @param otherwise the message where ffmpeg printed none. */
  constructor(output: string, otherwise = 'ffmpeg failed') {
    super(lastLines(output) || otherwise)
    const [first = this.message] = lines(output)
    this.reason = first.replace(/^(\[[^\]]*\] )+/, '')
    if (/No space left on device|Disk quota exceeded/.test(output)) this.code = 'ENOSPC'
  }
}

/**
 * The length that the header of a file states, in seconds; undefined where it states none.
 * @param input the arguments up to `-i` and the file.
 */
export async function statedSeconds(input: readonly string[]): Promise<number | undefined> {
  const { path } = await findFfmpeg()
  const { stderr } = await execa(path, ['-hide_banner', '-nostdin', ...input], {
    stdin: 'ignore',
    reject: false, // there is no output file
    timeout: probeMilliseconds,
    killSignal: 'SIGKILL',
    ...withoutSignals,
  })
  const [, hours, minutes, seconds] = /^ {2}Duration: (\d+):(\d+):(\d+\.\d+)/m.exec(stderr) ?? []
  return seconds === undefined ? undefined : 3600 * Number(hours) + 60 * Number(minutes) + Number(seconds)
}

const probeMilliseconds = 10_000

export class FfmpegTimeout extends Error {
  override readonly name = 'FfmpegTimeout'
}

const maxMessageBytes = 4096

const lastLines = (text: string) => lines(text).slice(-3).join('\n')

/** Without the memory addresses that ffmpeg prints in them. */
const lines = (text: string) =>
  text
    .replace(/ @ 0x[0-9a-f]+/g, '')
    .split(/\r?\n/)
    .filter((line) => line.trim() !== '')

/** Ctrl-C reaches every process of the terminal's group, but must not stop ffmpeg: what was begun is finished, unless the caller stops it. */
const withoutSignals = { detached: process.platform !== 'win32' }

/** A detached process would outlive this one. */
function killAtExit(child: PromiseLike<unknown> & { kill(signal: 'SIGKILL'): boolean }) {
  const ended = atExit(() => child.kill('SIGKILL'))
  void child.then(ended)
}

function throwIfAborted(signal: AbortSignal | undefined) {
  if (signal?.aborted) throw new Interrupted('stopped')
}

async function readCapabilities(path: string) {
  const { stdout } = await execa(path, ['-hide_banner', '-version'], withoutSignals)
  const version = stdout.match(/version (\S+)/)?.[1] ?? 'unknown'
  const listing = await execa(path, ['-hide_banner', '-filters'], withoutSignals)
  const rows = [...listing.stdout.matchAll(/^ \S{2,3} +(\w+) +(\S+->\S+)/gm)]
  const filters = new Map(rows.map(([, name, pads]) => [name as string, pads as string]))
  return { version, filters }
}

/** The binary of @ffmpeg-installer. Where install scripts did not run, it may lack its execute permission. */
async function installedBinary(): Promise<string | undefined> {
  const installed = (await importIfInstalled('@ffmpeg-installer/ffmpeg')) as { path: string } | undefined
  if (!installed) return undefined
  await access(installed.path, constants.X_OK).catch(() => chmod(installed.path, 0o755).catch(() => undefined))
  return installed.path
}

/** The default export, or undefined where the package is absent or broken: both throw while they are loaded. */
async function importIfInstalled(name: string): Promise<unknown> {
  try {
    return (await import(name)).default ?? undefined
  } catch {
    return undefined
  }
}
