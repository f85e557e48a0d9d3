/**
 * The one place that starts ffmpeg, and the search for one that runs. ffmpeg-static downloads its binary while installing, which
 * may have been blocked; @ffmpeg-installer ships one inside its package, but an old one, so it comes last.
 */
import { access, chmod, constants } from 'node:fs/promises'
import { execa } from 'execa'
import { limit } from '../config/limits.ts'
import { UserError } from '../platform/errors.ts'

/** `from` says where it was found; `filters` are the names it was built with. */
export type Ffmpeg = { path: string; from: string; version: string; filters: ReadonlySet<string> }

export type FfmpegCandidate = { from: string; path: () => Promise<string | undefined> }

let found: Promise<Ffmpeg> | undefined

/**
 * The ffmpeg to use: FFMPEG_PATH, ffmpeg-static, the system's, @ffmpeg-installer/ffmpeg. Looks once per process.
 * @throws UserError when FFMPEG_PATH is set to something that does not run, or when there is none at all.
 */
export function findFfmpeg(): Promise<Ffmpeg> {
  found ??= firstThatRuns(candidates).catch((error) => {
    found = undefined
    throw error
  })
  return found
}

const fromEnvironment = 'FFMPEG_PATH'

const candidates: FfmpegCandidate[] = [
  { from: fromEnvironment, path: async () => process.env.FFMPEG_PATH || undefined },
  { from: 'ffmpeg-static', path: async () => (await importIfInstalled('ffmpeg-static')) as string | undefined },
  { from: 'the PATH', path: async () => 'ffmpeg' },
  { from: '@ffmpeg-installer/ffmpeg', path: installedBinary },
]

/** Whoever sets FFMPEG_PATH means it, so that one is not passed over when it fails. */
export async function firstThatRuns(candidates: readonly FfmpegCandidate[]): Promise<Ffmpeg> {
  for (const { from, path } of candidates) {
    const name = await path()
    if (name === undefined) continue
    try {
      return { path: name, from, ...(await describe(name)) }
    } catch (cause) {
      if (from !== fromEnvironment) continue
      throw new UserError(`FFMPEG_PATH is ${name}, which does not run`, {
        hint: 'point FFMPEG_PATH at an ffmpeg binary, or unset it',
        cause,
      })
    }
  }
  throw new UserError('no ffmpeg was found', { hint: 'install ffmpeg, or set FFMPEG_PATH to its binary' })
}

/**
 * Runs ffmpeg with `args`, feeding it `input` and handing its output on in pieces, none of which is kept. It is stopped when `onOutput` throws.
 * @returns what ffmpeg complained about although it succeeded, if anything.
 * @throws Error with ffmpeg's last lines; FfmpegTimeout when it takes longer than the limit; whatever `onOutput` throws.
 */
export async function runFfmpeg(
  args: readonly string[],
  { input, onOutput }: { input?: Uint8Array; onOutput: (bytes: Uint8Array) => void },
): Promise<string | undefined> {
  const { path } = await findFfmpeg()
  const child = execa(path, ['-hide_banner', '-v', 'error', '-nostdin', ...args], {
    ...(input ? { input } : { stdin: 'ignore' as const }),
    encoding: 'buffer',
    buffer: false,
    reject: false,
    timeout: limit('decoding-seconds') * 1000,
    killSignal: 'SIGKILL', // it may be stuck
    detached: process.platform !== 'win32', // Ctrl-C is for us: what was begun is finished
  })
  let said = Buffer.alloc(0)
  child.stderr.on('data', (bytes: Buffer) => {
    said = Buffer.concat([said, bytes]).subarray(-longestComplaint) // of a damaged file it can say megabytes
  })
  try {
    for await (const bytes of child.iterable({ from: 'stdout' })) onOutput(bytes)
  } catch (error) {
    child.kill('SIGKILL')
    await child
    throw error
  }
  const result = await child
  if (result.timedOut) throw new FfmpegTimeout('ffmpeg took too long')
  const complaint = lastLines(said.toString('utf8'))
  if (result.failed) throw new Error(complaint || result.shortMessage)
  return complaint || undefined
}

export class FfmpegTimeout extends Error {
  override readonly name = 'FfmpegTimeout'
}

const longestComplaint = 4096

/** The end of what ffmpeg said, without the memory addresses it signs its lines with. */
const lastLines = (text: string) =>
  text
    .replace(/ @ 0x[0-9a-f]+/g, '')
    .split(/\r?\n/)
    .filter((line) => line.trim() !== '')
    .slice(-3)
    .join('\n')

async function describe(path: string) {
  const { stdout } = await execa(path, ['-hide_banner', '-version'])
  const version = stdout.match(/version (\S+)/)?.[1] ?? 'unknown'
  const listing = await execa(path, ['-hide_banner', '-filters'])
  const filters = new Set([...listing.stdout.matchAll(/^ \S{2,3} +(\w+) +\S+->/gm)].map(([, name]) => name as string))
  return { version, filters }
}

/** Without install scripts the binary may lack its execute bit. */
async function installedBinary(): Promise<string | undefined> {
  const installed = (await importIfInstalled('@ffmpeg-installer/ffmpeg')) as { path: string } | undefined
  if (!installed) return undefined
  await access(installed.path, constants.X_OK).catch(() => chmod(installed.path, 0o755).catch(() => undefined))
  return installed.path
}

/** The default export, or undefined where the package is absent or broken: both throw while they load. */
async function importIfInstalled(name: string): Promise<unknown> {
  try {
    return (await import(name)).default ?? undefined
  } catch {
    return undefined
  }
}
