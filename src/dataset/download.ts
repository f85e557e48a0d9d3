/** Files from the web, and any location as a local file. */
import { createWriteStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { extname } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { ReadableStream } from 'node:stream/web'
import { UserError } from '../errors.ts'
import { fileNameOf, parseLocation, shownLocation } from './location.ts'
import { makeTempFolder } from './temp-folder.ts'

/** More than a dataset can sensibly have (about 50 hours of stereo wav), less than a disk. */
export const largestDownloadBytes = 32 * 2 ** 30

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

/** @throws UserError when the server cannot be reached, refuses, or sends a web page or nothing. */
export async function download(url: URL, path: string): Promise<void> {
  const shown = shownLocation({ kind: 'url', url })
  const response = await request(url, shown)
  if (!response.ok) {
    await response.body?.cancel()
    throw new UserError(`${shown} answered ${response.status} ${response.statusText}`.trimEnd(), {
      hint: response.status === 404 ? 'check the URL for typing errors' : 'check that the URL opens without a login',
    })
  }
  if (/^text\/html\b/i.test(response.headers.get('content-type') ?? '')) {
    await response.body?.cancel()
    throw new UserError(`${shown} sent a web page instead of a file`, {
      hint: "use the direct download link, not the page that shows the file's download button",
    })
  }
  const bytes = await save(response, path, shown)
  if (bytes === 0) throw new UserError(`${shown} sent an empty file`, { hint: 'check that the upload has finished' })
}

async function request(url: URL, shown: string): Promise<Response> {
  const { username, password } = url
  const bare = new URL(url) // fetch refuses URLs with credentials in them
  bare.username = ''
  bare.password = ''
  const login = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString('base64')
  const headers: Record<string, string> = username ? { authorization: `Basic ${login}` } : {}
  return fetch(bare, { headers }).catch((cause) => {
    throw new UserError(`${shown} cannot be reached`, { hint: 'check the URL and the network connection', cause })
  })
}

async function save(response: Response, path: string, shown: string): Promise<number> {
  if (!response.body) return 0
  let bytes = 0
  async function* counted(chunks: AsyncIterable<Uint8Array>) {
    for await (const chunk of chunks) {
      bytes += chunk.length
      if (bytes > largestDownloadBytes)
        throw new UserError(`${shown} has more than ${largestDownloadBytes / 2 ** 30} GiB`, {
          hint: 'split the dataset, or pack it as mp3 or flac',
        })
      yield chunk
    }
  }
  try {
    await pipeline(Readable.fromWeb(response.body as ReadableStream), counted, createWriteStream(path))
  } catch (cause) {
    if (cause instanceof UserError) throw cause
    throw new UserError(`the download of ${shown} broke off after ${bytes} bytes`, { hint: 'try again', cause })
  }
  return bytes
}
