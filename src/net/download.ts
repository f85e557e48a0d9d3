/** Files from the web, and any location as a local file. */
import { createWriteStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { extname } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { ReadableStream } from 'node:stream/web'
import { limit, raisable } from '../config/limits.ts'
import { UserError } from '../platform/errors.ts'
import { isDiskFull, makeTempFolder } from '../platform/files.ts'
import { fileNameOf, parseLocation, shownLocation } from './location.ts'

/**
 * The file at a path, `file:` or `http(s):` location; `close` removes what was downloaded for it.
 * @throws UserError when it is missing, not a file, or cannot be downloaded.
 */
export async function openFile(location: string): Promise<{ path: string; close(): Promise<void> }> {
  const place = parseLocation(location)
  if (place.kind === 'path') {
    const found = await stat(place.path).catch((cause) => {
      throw new UserError(`${place.path} does not exist`, { hint: 'check the path', cause })
    })
    if (!found.isFile()) throw new UserError(`${place.path} is not a file`, { hint: 'give the path of one file' })
    return { path: place.path, close: async () => {} }
  }
  const folder = await makeTempFolder()
  try {
    const path = folder.newFile(extname(fileNameOf(place)).toLowerCase())
    await download(place.url, path)
    return { path, close: folder.remove }
  } catch (error) {
    await folder.remove()
    throw error
  }
}

/** @throws UserError when the server cannot be reached, refuses, falls silent, or sends a web page, nothing, or too much. */
export async function download(url: URL, path: string): Promise<void> {
  const shown = shownLocation({ kind: 'url', url })
  const silence = watchSilence()
  try {
    const response = await request(url, shown, silence.signal)
    try {
      checkAnswer(response, shown)
      const bytes = await save(response, path, shown, silence)
      if (bytes === 0)
        throw new UserError(`${shown} sent an empty file`, { hint: 'check that the upload has finished' })
    } finally {
      await response.body?.cancel().catch(() => {}) // already read, or in the way
    }
  } finally {
    silence.end()
  }
}

/** More are a circle. */
const mostRedirects = 10

/** Follows redirects by hand, so that a login stays with the server it is for, and every stop is a web server. */
async function request(url: URL, shown: string, signal: AbortSignal): Promise<Response> {
  for (let next = url, redirects = 0; redirects <= mostRedirects; redirects++) {
    const authorization = next.origin === url.origin ? loginOf(url) : undefined
    const response = await fetch(withoutLogin(next), {
      headers: authorization === undefined ? {} : { authorization },
      redirect: 'manual',
      signal,
    }).catch((cause) => {
      if (signal.aborted) throw silent(shown, cause)
      throw new UserError(`${shown} cannot be reached`, { hint: 'check the URL and the network connection', cause })
    })
    const to = response.headers.get('location')
    if (!redirecting.includes(response.status) || to === null) return response
    await response.body?.cancel()
    next = redirected(next, to, shown)
  }
  throw new UserError(`${shown} redirects in circles`, { hint: 'open it in a browser and use where it ends' })
}

const redirecting = [301, 302, 303, 307, 308]

function redirected(from: URL, to: string, shown: string): URL {
  const next = URL.canParse(to, from.href) ? new URL(to, from) : undefined
  if (next?.protocol === 'http:' || next?.protocol === 'https:') return next
  throw new UserError(`${shown} redirects to ${next?.protocol ?? 'nowhere'}, which is not the web`, {
    hint: 'download it yourself and give its path',
  })
}

function loginOf({ username, password }: URL): string | undefined {
  if (username === '') return undefined
  const login = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  return `Basic ${Buffer.from(login).toString('base64')}`
}

function withoutLogin(url: URL): URL {
  const bare = new URL(url) // fetch refuses URLs with credentials in them
  bare.username = ''
  bare.password = ''
  return bare
}

function checkAnswer({ ok, status, statusText, headers }: Response, shown: string) {
  if (!ok)
    throw new UserError(`${shown} answered ${status} ${statusText.slice(0, 80)}`.trimEnd(), {
      hint: status === 404 ? 'check the URL for typing errors' : 'check that the URL opens without a login',
    })
  if (/^text\/html\b/i.test(headers.get('content-type') ?? ''))
    throw new UserError(`${shown} sent a web page instead of a file`, {
      hint: "use the direct download link, not the page that shows the file's download button",
    })
  checkSize(Number(headers.get('content-length') ?? 0), shown)
}

function checkSize(bytes: number, shown: string) {
  const largest = limit('download-mib')
  if (bytes > largest * 2 ** 20)
    throw new UserError(`${shown} has more than ${largest} MiB`, {
      hint: `split the dataset, pack it as mp3 or flac, or ${raisable('download-mib', Math.max(bytes / 2 ** 20, 2 * largest))}`,
    })
}

async function save(response: Response, path: string, shown: string, silence: Silence): Promise<number> {
  if (!response.body) return 0
  let bytes = 0
  async function* counted(chunks: AsyncIterable<Uint8Array>) {
    for await (const chunk of chunks) {
      silence.heard()
      bytes += chunk.length
      checkSize(bytes, shown)
      yield chunk
    }
  }
  try {
    await pipeline(Readable.fromWeb(response.body as ReadableStream), counted, createWriteStream(path))
  } catch (cause) {
    if (cause instanceof UserError) throw cause
    if (isDiskFull(cause))
      throw new UserError(`there is no room to download ${shown}`, { hint: 'free some space or set TMPDIR', cause })
    if (silence.signal.aborted) throw silent(shown, cause)
    throw new UserError(`the download of ${shown} broke off after ${bytes} bytes`, { hint: 'try again', cause })
  }
  return bytes
}

type Silence = { signal: AbortSignal; heard(): void; end(): void }

/** Aborts when nothing was heard for too long. */
function watchSilence(): Silence {
  const controller = new AbortController()
  const begin = () => setTimeout(() => controller.abort(), limit('download-silence-seconds') * 1000)
  let timer = begin()
  return {
    signal: controller.signal,
    heard: () => {
      clearTimeout(timer)
      timer = begin()
    },
    end: () => clearTimeout(timer),
  }
}

const silent = (shown: string, cause: unknown) =>
  new UserError(`${shown} fell silent for ${limit('download-silence-seconds')} s`, { hint: 'try again later', cause })
