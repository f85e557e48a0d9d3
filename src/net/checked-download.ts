/** Large files whose SHA-256 is known, in one connection each: what has arrived is kept, and an interrupted download continues from there. */
import { createHash, type Hash } from 'node:crypto'
import { createReadStream, existsSync, mkdirSync, statSync } from 'node:fs'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { UserError } from '../platform/errors.ts'
import { chunksOf, discard, type HttpClient, isWebPage, requestFollowingRedirects, shownUrl } from './http-client.ts'
import { checkStatus } from './http-source.ts'
import { withDiskErrors } from './partial-file.ts'
import { createRetryPolicy, type IdleTimeout, startIdleTimeout, TransientError, withRetry } from './retry.ts'

export type CheckedDownload = {
  url: URL
  /** Where the file goes. Until it is complete and checked, it has `.partial` at the end. */
  path: string
  /** In hexadecimal digits. */
  sha256: string
}

export type CheckedDownloadOptions = {
  client: HttpClient
  signal: AbortSignal
  /** Called with the number of bytes that arrived, first with those of an earlier attempt. Negative when it starts again. */
  onBytes?: (bytes: number) => void
}

/** The bytes of a download that are on the disk. */
export const arrivedBytes = (path: string) =>
  [path, partialPath(path)].map((file) => statSync(file, { throwIfNoEntry: false })?.size ?? 0).find(Boolean) ?? 0

const partialPath = (path: string) => `${path}.partial`

/** Seconds without a byte before a connection is given up. */
const idleSeconds = 60

/**
 * Downloads the file, unless it is there already with its checksum. Servers that send no parts of files send all of it again.
 * @throws UserError when the server fails or refuses, the disk does, or the file has another SHA-256; the reason of the signal when it is aborted.
 */
export async function downloadChecked(file: CheckedDownload, options: CheckedDownloadOptions): Promise<void> {
  const { path } = file
  const { signal, client, onBytes = () => {} } = options
  if (existsSync(path)) {
    if ((await sha256OfFile(path, signal)) === file.sha256) return onBytes(statSync(path).size)
    await rm(path) // changed or damaged since it was complete
  }
  const continues = arrivedBytes(path) > 0
  try {
    await withDiskErrors(partialPath(path), () => fetchInto(file, client, signal, onBytes))
  } catch (error) {
    if (!(error instanceof WrongHash)) throw error
    await rm(partialPath(path), { force: true })
    onBytes(-error.bytes)
    if (continues) return downloadChecked(file, options) // the earlier part may have been of another file
    throw new UserError(`${shownUrl(file.url)} does not have the SHA-256 that the index lists`, {
      hint: 'try again later; if it stays, the server or a proxy changes the file',
    })
  }
}

async function sha256OfFile(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { signal })) hash.update(chunk)
  return hash.digest('hex')
}

class WrongHash extends Error {
  readonly bytes: number
  constructor(bytes: number) {
    super('wrong SHA-256')
    this.bytes = bytes
  }
}

/** The open file, the number of its bytes, and their hash so far. */
type Arrived = { file: FileHandle; bytes: number; hash: Hash }

async function fetchInto(
  { url, path, sha256 }: CheckedDownload,
  client: HttpClient,
  signal: AbortSignal,
  onBytes: (bytes: number) => void,
) {
  mkdirSync(dirname(path), { recursive: true })
  const arrived = await openArrived(partialPath(path), signal)
  try {
    onBytes(arrived.bytes)
    const policy = createRetryPolicy(signal, client.sleep, { hint: 'run it again: what has arrived is kept' })
    let farthest = arrived.bytes
    const onNewBytes = (bytes: number) => {
      if (arrived.bytes > farthest) policy.reset() // but not while a server sends the beginning again
      farthest = Math.max(farthest, arrived.bytes)
      onBytes(bytes)
    }
    await withRetry(policy, async () => {
      const timeout = startIdleTimeout(idleSeconds, signal)
      try {
        await fetchRest(url, arrived, client, timeout, onNewBytes)
      } finally {
        timeout.close()
      }
    })
    await arrived.file.sync()
  } finally {
    await arrived.file.close()
  }
  if (arrived.hash.digest('hex') !== sha256) throw new WrongHash(arrived.bytes)
  await rename(partialPath(path), path)
}

async function openArrived(partial: string, signal: AbortSignal): Promise<Arrived> {
  const hash = createHash('sha256')
  const file = await open(partial, 'a')
  const { size } = await file.stat()
  try {
    if (size > 0) for await (const chunk of createReadStream(partial, { signal })) hash.update(chunk)
  } catch (error) {
    await file.close()
    signal.throwIfAborted()
    throw error
  }
  return { file, bytes: size, hash }
}

/** One request. @throws TransientError when it broke off. */
async function fetchRest(
  start: URL,
  arrived: Arrived,
  client: HttpClient,
  timeout: IdleTimeout,
  onBytes: (bytes: number) => void,
) {
  const location = shownUrl(start)
  const headers = {
    'accept-encoding': 'identity', // a part of compressed content cannot be used
    ...(arrived.bytes > 0 && { range: `bytes=${arrived.bytes}-` }),
  }
  const { response } = await requestFollowingRedirects(client, start, { headers, signal: timeout.signal })
  try {
    if (response.status === 416) {
      const [, size] = /^bytes \*\/(\d+)$/.exec(response.headers.get('content-range') ?? '') ?? []
      if (Number(size) === arrived.bytes) return // all had arrived
      await startAgain(arrived, onBytes)
      throw new TransientError(`${location} is shorter than what has arrived`, { retryAfter: 0 })
    }
    checkStatus(location, response, { accessHint: () => 'check the login in the URL of the package index' })
    if (isWebPage(response))
      throw new UserError(`${location} is a web page, not a file`, { hint: 'check the network and its proxies' })
    const [, first, size] = /^bytes (\d+)-\d+\/(\d+)$/.exec(response.headers.get('content-range') ?? '') ?? []
    if (response.status !== 206 || Number(first) !== arrived.bytes) {
      if (response.status === 206)
        throw new UserError(`${location} sent other bytes than requested`, { hint: 'try again later' })
      await startAgain(arrived, onBytes)
    }
    const total = Number(size ?? response.headers.get('content-length') ?? Number.NaN)
    await saveChunks(response, arrived, timeout, onBytes).catch((error) => {
      if (isDiskError(error)) throw error
      throw new TransientError(`${location} broke off`, { cause: error })
    })
    if (arrived.bytes < total) throw new TransientError(`${location} broke off`)
  } catch (error) {
    if (timeout.hasExpired()) throw new TransientError(`${location} sent nothing for ${idleSeconds} s`)
    throw error
  } finally {
    void discard(response)
  }
}

async function saveChunks(
  response: Response,
  arrived: Arrived,
  timeout: IdleTimeout,
  onBytes: (bytes: number) => void,
) {
  for await (const chunk of chunksOf(response, timeout.signal)) {
    timeout.restart()
    await arrived.file.appendFile(chunk)
    arrived.hash.update(chunk)
    arrived.bytes += chunk.length
    onBytes(chunk.length)
  }
}

/** Errors of files have the name of a system call; those of connections are wrapped by fetch. */
const isDiskError = (error: unknown) =>
  ['write', 'open', 'fsync'].includes((error as NodeJS.ErrnoException).syscall ?? '')

async function startAgain(arrived: Arrived, onBytes: (bytes: number) => void) {
  const { bytes } = arrived
  if (bytes === 0) return
  await arrived.file.truncate(0)
  Object.assign(arrived, { bytes: 0, hash: createHash('sha256') })
  onBytes(-bytes)
}
