/** The files of the server, as a worker on another machine reads and writes them over HTTP. */
import { createWriteStream } from 'node:fs'
import { type FileHandle, mkdir, rename, stat } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { z } from 'zod'
import type { FetchOptions } from '../net/fetch.ts'
import { chunksOf, createHttpClient, discard, isTransientStatus, request, shownUrl } from '../net/http-client.ts'
import { type IdleTimeout, TransientError, withIdleTimeout } from '../net/retry.ts'
import { Interrupted, UserError } from '../platform/errors.ts'
import { isDiskFull } from '../platform/files.ts'
import { toolVersion } from '../platform/version.ts'
import { goneFile, type RunFile, runKey } from './job-files.ts'
import { retrying } from './retrying.ts'

/**
 * What reads waits until the server can be reached, and throws Interrupted when its signal is aborted. What writes tries once. All throw a UserError where
 * the server refuses.
 */
export type FileServer = {
  /** @throws UserError for another key, and another version of this tool. */
  check(signal: AbortSignal): Promise<void>
  /** The saved files of a run. */
  list(requestId: string, signal: AbortSignal): Promise<RunFile[]>
  /** Downloads a file, which is there as a whole or not at all. A download that breaks off goes on. @throws UserError when it is gone. */
  get(key: string, path: string, signal: AbortSignal): Promise<void>
  /** The same for a file of the run that the worker has. */
  getOwn(target: RunTarget, path: string, signal: AbortSignal): Promise<void>
  /** @param size how many bytes of the file are sent, from its beginning. */
  put(target: RunTarget, file: FileHandle, size: number): Promise<void>
  remove(target: RunTarget): Promise<void>
}

/** A file of a run, and the claim of the worker that writes it. */
export type RunTarget = { requestId: string; attempt: number; path: string }

export type FileServerOptions = {
  /** The URL of the server. */
  server: string
  key?: string | undefined
  /** Ends everything that is sent. */
  closing: AbortSignal
  /** Called with what is tried again. */
  onError?: ((error: unknown) => void) | undefined
}

/** @throws UserError for text that is not an http(s) URL. */
export function openFileServer({ server, key, closing, onError }: FileServerOptions): FileServer {
  const base = serverUrl(server)
  const client = createHttpClient()
  const authorization: Record<string, string> = key === undefined ? {} : { authorization: `Key ${key}` }
  const urlOf = (...names: string[]) => new URL(`${base}/${names.map(encodeURIComponent).join('/')}`)
  const runFileUrl = ({ requestId, attempt, path }: RunTarget) => {
    const url = urlOf('internal', 'runs', requestId, ...path.split('/'))
    url.searchParams.set('attempt', String(attempt))
    return url
  }

  /** @param use gets a response that is no refusal. */
  const send = <T>(
    url: URL,
    signal: AbortSignal,
    { headers, body, ...options }: Omit<Partial<FetchOptions>, 'body'> & { body?: (timeout: IdleTimeout) => Readable },
    use: (response: Response, timeout: IdleTimeout) => Promise<T>,
  ): Promise<T> =>
    withIdleTimeout(shownUrl(url), signal, async (timeout) => {
      const response = await request(client, url, url, {
        ...options,
        headers: { ...authorization, ...headers },
        body: body?.(timeout),
        signal: timeout.signal,
      })
      try {
        if (!response.ok) throw refusal(url, response.status)
        return await use(response, timeout)
      } finally {
        void discard(response)
      }
    })

  const waiting = async <T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> => {
    const result = await retrying(async () => ({ value: await work() }), {
      signal,
      onError: (error) => signal.aborted || onError?.(error),
    })
    if (!result) throw new Interrupted(`stopped while ${base} could not be reached`)
    return result.value
  }

  const get = async (url: URL, key: string, path: string, signal: AbortSignal) => {
    const partial = `${path}.partial`
    await mkdir(dirname(path), { recursive: true })
    let tag: string | undefined // of the file that is there in part
    const attempt = async () => {
      const start = tag === undefined ? 0 : (await stat(partial)).size
      const range: Record<string, string> = tag && start > 0 ? { range: `bytes=${start}-`, 'if-range': tag } : {}
      tag = undefined
      await send(url, signal, { headers: { 'accept-encoding': 'identity', ...range } }, async (response, timeout) => {
        const sink = createWriteStream(partial, { flags: response.status === 206 ? 'a' : 'w' })
        sink.once('open', () => {
          tag = response.headers.get('etag') ?? undefined
        })
        await pipeline(arriving(response, timeout), sink)
      })
    }
    await waiting(signal, () =>
      attempt().catch((error) => {
        if (isDiskFull(error)) throw machineError(`there is no room for ${basename(path)}`, 'free some space', error)
        if (error instanceof Refusal && error.status === 404) throw goneFile(key)
        throw error
      }),
    )
    await rename(partial, path)
  }

  return {
    check: async (signal) => {
      const read = async (response: Response) => versionAnswer.parse(await response.json())
      const { version } = await waiting(signal, () => send(urlOf('internal', 'version'), signal, {}, read))
      if (version !== toolVersion)
        throw new UserError(`the server has version ${version}, and this worker ${toolVersion}`, {
          hint: 'install the same version on both machines',
        })
    },
    list: (requestId, signal) =>
      waiting(signal, () =>
        send(
          urlOf('internal', 'runs', requestId),
          signal,
          {},
          async (response) => fileList.parse(await response.json()).files,
        ),
      ),
    get: (key, path, signal) => get(urlOf('files', ...key.split('/')), key, path, signal),
    getOwn: (target, path, signal) => get(runFileUrl(target), runKey(target.requestId, target.path), path, signal),
    put: (target, file, size) => {
      const body = (timeout: IdleTimeout) => Readable.from(leaving(file, size, timeout), { objectMode: false })
      const headers = { 'content-length': String(size) }
      return send(runFileUrl(target), closing, { method: 'PUT', headers, body }, async () => {})
    },
    remove: (target) => send(runFileUrl(target), closing, { method: 'DELETE' }, async () => {}),
  }
}

const versionAnswer = z.object({ version: z.string() })

const fileList = z.object({ files: z.array(z.object({ path: z.string(), size: z.number(), sha256: z.string() })) })

/** Without a slash at its end. */
function serverUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:')
    throw new UserError(`${text} is not an http(s) URL`, { hint: 'write --server as https://host' })
  return `${url.origin}${url.pathname.replace(/\/+$/, '')}`
}

/** An answer of the server that would be the same again. */
class Refusal extends UserError {
  readonly status: number
  constructor(message: string, status: number, hint?: string) {
    super(message, { hint, code: 'machine_error' })
    this.status = status
  }
}

const machineError = (message: string, hint: string, cause: unknown) =>
  new UserError(message, { hint, cause, code: 'machine_error' })

function refusal(url: URL, status: number): Error {
  const shown = shownUrl(url)
  if (status === 416 || isTransientStatus(status)) return new TransientError(`${shown} answered ${status}`)
  if (status === 401)
    return new Refusal(`${url.host} does not accept the key`, status, 'give the key of the server with LTX_A2A_KEY')
  if (status === 412) return new Refusal('another worker has the request, or it is completed', status)
  return new Refusal(`${shown} answered ${status}`, status, 'check --server, and that both are of the same version')
}

async function* arriving(response: Response, timeout: IdleTimeout) {
  for await (const chunk of chunksOf(response, timeout.signal)) {
    timeout.restart()
    yield chunk
  }
}

async function* leaving(file: FileHandle, size: number, timeout: IdleTimeout) {
  const bytes = Buffer.allocUnsafe(2 ** 18)
  for (let at = 0; at < size; ) {
    const { bytesRead } = await file.read(bytes, 0, Math.min(bytes.length, size - at), at)
    if (bytesRead === 0) throw new TransientError('a file became shorter while it was sent')
    at += bytesRead
    timeout.restart()
    yield Buffer.from(bytes.subarray(0, bytesRead)) // the connection may still hold it when the next part is read
  }
}
