/** Files from the web, and any location as a local file. */
import { createWriteStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { extname } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { defaultLimits, type Limits, raiseLimitHint } from '../config/limits.ts'
import { Interrupted, UserError, withCode } from '../platform/errors.ts'
import { isDiskFull } from '../platform/files.ts'
import { makeTempFolder } from '../platform/temp-folder.ts'
import {
  chunksOf,
  createHttpClient,
  discard,
  type HttpClient,
  isTransientStatus,
  isWebPage,
  requestFollowingRedirects,
  retryAfterSeconds,
  shownUrl,
} from './http-client.ts'
import { fileNameOf, parseLocation } from './location.ts'
import { createRetryPolicy, type IdleTimeout, startIdleTimeout, TransientError, withRetry } from './retry.ts'

export type DownloadOptions = {
  limits?: Limits | undefined
  signal?: AbortSignal | undefined
  /** By default one that uses the proxies of the environment. */
  client?: HttpClient | undefined
}

/**
 * The file at a path, `file:` or `http(s):` location. `close` removes what was downloaded for it.
 * @throws UserError when it is missing, not a file, or cannot be downloaded; Interrupted when the signal is aborted during a download.
 */
export async function openFile(
  location: string,
  options: DownloadOptions = {},
): Promise<{ path: string; close(): Promise<void> }> {
  const parsed = parseLocation(location)
  if (parsed.kind === 'path') {
    const found = await stat(parsed.path).catch((cause) => {
      if (cause.code === 'ENOENT')
        throw new UserError(`${parsed.path} does not exist`, { hint: 'check the path', code: 'file_download_error' })
      throw new UserError(`${parsed.path} cannot be opened`, { hint: 'check the path and the permissions', cause })
    })
    if (!found.isFile()) throw new UserError(`${parsed.path} is not a file`, { hint: 'give the path of one file' })
    return { path: parsed.path, close: async () => {} }
  }
  const folder = await makeTempFolder()
  try {
    const path = folder.newFile(extname(fileNameOf(parsed)).toLowerCase())
    await download(parsed.url, path, options)
    return { path, close: folder.remove }
  } catch (error) {
    await folder.remove()
    throw error
  }
}

/** Attempts, with pauses of 1 and 2 s between them: an unreachable server is reported soon. */
const attempts = 3

/**
 * Downloads a file. A server that is busy or breaks off is tried again.
 * @returns the headers of the response.
 * @throws UserError when the server cannot be reached, refuses, sends nothing for too long, or sends a web page, nothing, or too much. Interrupted when
 * the signal is aborted.
 */
export async function download(url: URL, path: string, options: DownloadOptions = {}): Promise<Headers> {
  const { limits = defaultLimits, signal = new AbortController().signal } = options
  const client = options.client ?? createHttpClient()
  const policy = createRetryPolicy(signal, client.sleep, {
    attempts,
    hint: 'check the URL and the network connection, or try again later',
  })
  try {
    return await withRetry(policy, () => attemptDownload(url, path, { client, limits, signal }))
  } catch (error) {
    if (signal.aborted) throw new Interrupted(`stopped during the download of ${shownUrl(url)}`)
    throw withCode(error, 'file_download_error')
  }
}

async function attemptDownload(
  url: URL,
  path: string,
  { client, limits, signal }: { client: HttpClient; limits: Limits; signal: AbortSignal },
): Promise<Headers> {
  const shown = shownUrl(url)
  const seconds = limits['download-silence-seconds']
  const timeout = startIdleTimeout(seconds, signal)
  try {
    const { response } = await requestFollowingRedirects(client, url, { signal: timeout.signal })
    try {
      checkResponse(response, shown, limits)
      const bytes = await save(response, path, shown, timeout, limits)
      if (bytes === 0)
        throw new UserError(`${shown} sent an empty file`, { hint: 'check that the upload has finished' })
      return response.headers
    } finally {
      void discard(response)
    }
  } catch (error) {
    if (timeout.hasExpired())
      throw new UserError(`${shown} sent nothing for ${seconds} s`, { hint: 'try again later', cause: error })
    throw error
  } finally {
    timeout.close()
  }
}

function checkResponse(response: Response, shown: string, limits: Limits) {
  const { ok, status, statusText, headers } = response
  const answered = `${shown} answered ${status} ${statusText.slice(0, 80)}`.trimEnd()
  if (isTransientStatus(status)) throw new TransientError(answered, { retryAfter: retryAfterSeconds(headers) })
  if (!ok)
    throw new UserError(answered, {
      hint: status === 404 ? 'check the URL for typing errors' : 'check that the URL opens without a login',
    })
  if (status !== 200)
    throw new UserError(`${answered}, which is not the whole file`, { hint: 'try again later, or download it by hand' })
  if (isWebPage(response))
    throw new UserError(`${shown} sent a web page instead of a file`, {
      hint: "use the direct download link, not the page that shows the file's download button",
    })
  checkSize(Number(headers.get('content-length') ?? 0), shown, limits)
}

function checkSize(bytes: number, shown: string, limits: Limits) {
  const largest = limits['download-mib']
  if (bytes > largest * 2 ** 20)
    throw new UserError(`${shown} has more than ${largest} MiB`, {
      hint: `split the dataset, pack it as mp3 or flac, or ${raiseLimitHint('download-mib', Math.max(bytes / 2 ** 20, 2 * largest))}`,
    })
}

async function save(
  response: Response,
  path: string,
  shown: string,
  timeout: IdleTimeout,
  limits: Limits,
): Promise<number> {
  let bytes = 0
  async function* chunks() {
    for await (const chunk of chunksOf(response, timeout.signal)) {
      timeout.restart()
      bytes += chunk.length
      checkSize(bytes, shown, limits)
      yield chunk
    }
  }
  try {
    await pipeline(chunks(), createWriteStream(path))
  } catch (cause) {
    if (cause instanceof UserError || timeout.signal.aborted) throw cause
    if (isDiskFull(cause))
      throw new UserError(`there is no room to download ${shown}`, {
        hint: 'free some space or set TMPDIR',
        cause,
        code: 'machine_error',
      })
    throw new TransientError(`the download of ${shown} broke off after ${bytes} bytes`, { cause })
  }
  return bytes
}
