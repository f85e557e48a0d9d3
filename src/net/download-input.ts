/** Files that a server downloads for its clients, from URLs that they gave. */
import { mkdir, rename, rm } from 'node:fs/promises'
import { basename, extname, join } from 'node:path'
import { parse } from 'content-disposition'
import type { Limits } from '../config/limits.ts'
import { UserError, withCode } from '../platform/errors.ts'
import { temporaryPath } from '../platform/files.ts'
import { durationText } from '../platform/text.ts'
import { download } from './download.ts'
import { clientUrl, type Guard, guardFor } from './guard.ts'
import { createHttpClient, shownUrl } from './http-client.ts'
import { fileNameOf, safeName } from './location.ts'
import type { Environment } from './proxies.ts'

export type InputOptions = {
  /** Whether the URL may lead into the network of this machine. */
  allowPrivate: boolean
  limits?: Limits | undefined
  signal?: AbortSignal | undefined
  /** What the whole download may take: a server that sends a byte now and then is not silent. */
  maxSeconds?: number
  /** By default the one for `allowPrivate`. */
  guard?: Guard | undefined
  /** Where the proxies are read. */
  env?: Environment | undefined
}

/**
 * Downloads a file into a folder, which should be of this file alone: a file of the same name is replaced. Its name is that of the response, or of the
 * URL.
 * @returns the path of the file.
 * @throws UserError with the code `file_download_error` when the URL may not be used, the server cannot be reached, refuses, is too slow, or sends a web
 * page, nothing, or too much; with `machine_error` when the disk is full. Interrupted when the signal is aborted. Nothing is left then.
 */
export const downloadInput = (location: string, folder: string, options: InputOptions): Promise<string> =>
  downloadInto(folder, location, options).catch((error) => {
    throw withCode(error, 'file_download_error')
  })

async function downloadInto(folder: string, location: string, options: InputOptions): Promise<string> {
  const { limits, signal, maxSeconds = 2 * 3600, env, guard = guardFor(options) } = options
  const url = clientUrl(location, guard)
  const deadline = AbortSignal.timeout(maxSeconds * 1000)
  const temporary = temporaryPath(join(folder, 'download'))
  await mkdir(folder, { recursive: true })
  try {
    const headers = await download(url, temporary, {
      client: createHttpClient({ guard, ...(env && { env }) }),
      limits,
      signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
    })
    const path = join(folder, nameOf(url, headers))
    await rename(temporary, path)
    return path
  } catch (error) {
    await rm(temporary, { force: true })
    if (!deadline.aborted || signal?.aborted) throw error
    throw new UserError(`${shownUrl(url)} was not complete after ${durationText(maxSeconds)}`, {
      hint: 'use a faster server, or upload the file',
      cause: error,
    })
  }
}

/** A long name keeps its extension, which tells what the file is. */
function nameOf(url: URL, headers: Headers): string {
  const name = basename(sentName(headers) ?? '') || fileNameOf({ kind: 'url', url })
  const extension = safeName(extname(name).slice(1, 11))
  const stem = safeName(basename(name, extname(name))) || 'input'
  return extension === '' ? stem : `${stem}.${extension}`
}

/** The name in `Content-Disposition`, which may be a path. */
function sentName(headers: Headers): string | undefined {
  const header = headers.get('content-disposition')
  return header === null ? undefined : parse(header).parameters.filename?.replaceAll('\\', '/')
}
