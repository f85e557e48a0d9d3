/** The files of a project in a Python package index: its page as JSON (PEP 691), or as HTML (PEP 503) from an index that has no JSON. */
import { createHash } from 'node:crypto'
import {
  chunksOf,
  discard,
  type HttpClient,
  isTransientStatus,
  requestFollowingRedirects,
  retryAfterSeconds,
  shownUrl,
} from '../net/http-client.ts'
import { createRetryPolicy, type IdleTimeout, TransientError, withIdleTimeout, withRetry } from '../net/retry.ts'
import { UserError } from '../platform/errors.ts'
import { type IndexFile, parseHtmlPage, parseJsonPage } from './package-page.ts'

/** Requests to an index, and how they are stopped. */
export type IndexAccess = { client: HttpClient; signal: AbortSignal }

const accept = 'application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1'

/**
 * The files that an index has of a project; empty where it does not know the project.
 * @param index its URL with a slash at the end.
 * @throws UserError when the index cannot be reached, refuses access, or answers with something else.
 */
export async function projectFiles(project: string, index: URL, access: IndexAccess): Promise<IndexFile[]> {
  const url = new URL(index)
  url.pathname += `${normalizedName(project)}/` // the query stays: it may hold a token
  const page = await readPage(url, access, { accept })
  if (page === undefined) return []
  const isJson = /\bjson\b/i.test(page.contentType)
  const files = isJson ? parseJsonPage(page.text, page.url) : parseHtmlPage(page.text, page.url)
  return files.map((file) => withLoginOf(index, file))
}

/** PEP 503: `tensorflow_cpu` and `tensorflow-cpu` are the same project. */
export const normalizedName = (project: string) => project.toLowerCase().replace(/[-_.]+/g, '-')

/**
 * The file METADATA of a wheel, from the index.
 * @throws UserError as for the page of a project, and when the checksum is wrong.
 */
export async function readMetadata(
  { url, sha256 }: Required<IndexFile>['metadata'],
  access: IndexAccess,
): Promise<string | undefined> {
  const page = await readPage(url, access)
  if (page && sha256 !== undefined && createHash('sha256').update(page.text).digest('hex') !== sha256)
    throw new UserError(`${shownUrl(url)} does not have the SHA-256 that the index lists`, { hint: 'try again later' })
  return page?.text
}

type Page = { text: string; contentType: string; url: URL }

const attempts = 4
/** The largest project pages have a few MB. */
const maxPageBytes = 64 * 2 ** 20

/** Undefined where there is no such page. */
async function readPage(
  start: URL,
  { client, signal }: IndexAccess,
  headers: Record<string, string> = {},
): Promise<Page | undefined> {
  const policy = createRetryPolicy(signal, client.sleep, {
    attempts,
    hint: 'check the network, the settings of pip (pip config list) and the proxies (HTTPS_PROXY), or give --from a wheel',
  })
  return withRetry(policy, () =>
    withIdleTimeout(shownUrl(start), signal, async (timeout) => {
      const { response, url } = await requestFollowingRedirects(client, start, { headers, signal: timeout.signal })
      try {
        const { status, headers } = response
        if (status === 404 || status === 410) return undefined
        checkStatus(start, response)
        const contentType = headers.get('content-type') ?? ''
        return { text: await readText(start, response, timeout), contentType, url }
      } finally {
        void discard(response)
      }
    }),
  )
}

function checkStatus(url: URL, { ok, status, statusText, headers }: Response) {
  if (ok) return
  const answered = `the package index answered ${status} ${statusText} for ${shownUrl(url)}`
  if (isTransientStatus(status)) throw new TransientError(answered, { retryAfter: retryAfterSeconds(headers) })
  throw new UserError(answered, {
    hint:
      status === 401 || status === 403
        ? 'put the login into the URL of the index (pip config set global.index-url) or into ~/.netrc'
        : 'check the settings of pip: pip config list',
  })
}

async function readText(url: URL, response: Response, timeout: IdleTimeout): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  try {
    for await (const chunk of chunksOf(response, timeout.signal)) {
      timeout.restart()
      bytes += chunk.length
      if (bytes > maxPageBytes) break
      chunks.push(chunk)
    }
  } catch (cause) {
    throw new TransientError(`${shownUrl(url)} broke off`, { cause })
  }
  if (bytes > maxPageBytes)
    throw new UserError(`${shownUrl(url)} has more than ${maxPageBytes / 2 ** 20} MiB`, { hint: 'use another index' })
  return Buffer.concat(chunks).toString('utf8')
}

function withLoginOf(index: URL, file: IndexFile): IndexFile {
  for (const url of [file.url, ...(file.metadata ? [file.metadata.url] : [])])
    if (url.origin === index.origin && url.username === '')
      Object.assign(url, { username: index.username, password: index.password })
  return file
}
