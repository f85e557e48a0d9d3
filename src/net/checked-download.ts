/** Large files whose SHA-256 is known, in one connection each: what has arrived is kept, and an interrupted download continues from there. */
import { createHash, type Hash } from 'node:crypto'
import { createReadStream, existsSync, mkdirSync, statSync } from 'node:fs'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { UserError } from '../platform/errors.ts'
import { sha256OfFile } from '../platform/files.ts'
import { sizeText } from '../platform/text.ts'
import { chunksOf, discard, type HttpClient, isWebPage, requestFollowingRedirects, shownUrl } from './http-client.ts'
import { checkStatus } from './http-source.ts'
import { withDiskErrors } from './partial-file.ts'
import { createRetryPolicy, type IdleTimeout, TransientError, withIdleTimeout, withRetry } from './retry.ts'

export type CheckedDownload = {
  url: URL
  /** Where the file goes. Until it is complete and checked, it has `.partial` at the end. */
  path: string
  /** In hexadecimal digits. */
  sha256: string
  /** The size, where it is known. */
  bytes?: number | undefined
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

/**
 * Downloads the file, unless it is there already with its checksum. Servers that send no parts of files send all of it again.
 * @throws UserError when the server fails or refuses, the disk does, or the file is larger or has another SHA-256; the reason of the signal when it is
 *   aborted.
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
    if (!(error instanceof OtherFile)) throw error
    await rm(partialPath(path), { force: true })
    onBytes(-error.arrived)
    if (continues) return downloadChecked(file, options) // the earlier part may have been of another file
    throw new UserError(`${shownUrl(file.url)} ${error.message}`, {
      hint: 'try again later; if it stays, the server or a proxy changes the file',
    })
  }
}

/** What has arrived cannot be the file. */
class OtherFile extends Error {
  readonly arrived: number
  constructor(problem: string, arrived: number) {
    super(problem)
    this.arrived = arrived
  }
}

const tooLarge = (bytes: number, arrived: number) =>
  new OtherFile(`is larger than the ${sizeText(bytes)} that the index lists`, arrived)

/** The open file, the number of its bytes, and their hash so far. */
type Arrived = { file: FileHandle; bytes: number; hash: Hash }

async function fetchInto(
  { url, path, sha256, bytes: size }: CheckedDownload,
  client: HttpClient,
  signal: AbortSignal,
  onBytes: (bytes: number) => void,
) {
  mkdirSync(dirname(path), { recursive: true })
  const arrived = await openArrived(partialPath(path), signal)
  try {
    onBytes(arrived.bytes)
    if (size !== undefined && arrived.bytes > size) throw tooLarge(size, arrived.bytes)
    const policy = createRetryPolicy(signal, client.sleep, { hint: 'run it again: what has arrived is kept' })
    let farthest = arrived.bytes
    const onNewBytes = (bytes: number) => {
      if (arrived.bytes > farthest) policy.reset() // but not while a server sends the beginning again
      farthest = Math.max(farthest, arrived.bytes)
      onBytes(bytes)
    }
    await withRetry(policy, () =>
      withIdleTimeout(shownUrl(url), signal, (timeout) =>
        fetchRest({ url, size }, arrived, client, timeout, onNewBytes),
      ),
    )
    await arrived.file.sync()
  } finally {
    await arrived.file.close()
  }
  if (arrived.hash.digest('hex') !== sha256)
    throw new OtherFile('does not have the SHA-256 that the index lists', arrived.bytes)
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
  { url, size }: { url: URL; size: number | undefined },
  arrived: Arrived,
  client: HttpClient,
  timeout: IdleTimeout,
  onBytes: (bytes: number) => void,
) {
  const location = shownUrl(url)
  const headers = {
    'accept-encoding': 'identity', // a part of compressed content cannot be used
    ...(arrived.bytes > 0 && { range: `bytes=${arrived.bytes}-` }),
  }
  const { response } = await requestFollowingRedirects(client, url, { headers, signal: timeout.signal })
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
    const { first, total = size } = extentOf(response)
    if (first !== arrived.bytes) {
      await startAgain(arrived, onBytes)
      if (first !== 0) throw new TransientError(`${location} sent other bytes than requested`, { retryAfter: 0 })
    }
    const limit = size ?? Number.POSITIVE_INFINITY
    if (total !== undefined && total > limit) throw tooLarge(limit, arrived.bytes)
    await saveChunks(response, arrived, limit, timeout, onBytes).catch((error) => {
      if (isDiskError(error) || error instanceof OtherFile) throw error
      throw new TransientError(`${location} broke off`, { cause: error })
    })
    if (total !== undefined && arrived.bytes < total) throw new TransientError(`${location} broke off`)
  } finally {
    void discard(response)
  }
}

/** Where the content of a response is in the file, and the size of the file as far as the response tells. */
function extentOf({ status, headers }: Response): { first?: number; total?: number } {
  const length = headers.get('content-length') ?? undefined
  if (status !== 206) return { first: 0, ...(length !== undefined && { total: Number(length) }) }
  const [, from, size] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get('content-range') ?? '') ?? []
  if (from === undefined) return {}
  const first = Number(from)
  if (size !== '*') return { first, total: Number(size) }
  return { first, ...(length !== undefined && { total: first + Number(length) }) }
}

async function saveChunks(
  response: Response,
  arrived: Arrived,
  limit: number,
  timeout: IdleTimeout,
  onBytes: (bytes: number) => void,
) {
  for await (const chunk of chunksOf(response, timeout.signal)) {
    timeout.restart()
    if (arrived.bytes + chunk.length > limit) throw tooLarge(limit, arrived.bytes)
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
