/** Where a file really is: at the end of the redirects of its URL, for as long as they hold. */
import { UserError } from '../errors.ts'
import { refuse, requirePart } from './answers.ts'
import { type Caller, discard, partOf, placeOf, requestPart } from './part-request.ts'

export type Found = {
  url: URL
  size: number
  /** Changes with the content, as far as the servers tell. */
  version: string
  /** What every answer must carry; undefined where the version says it better. */
  etag?: string
}

export type Guide = Caller & {
  /** Advice for people who are turned away; the reason is the hub's own word for it. */
  accessHint(reason: string | null): string
}

const mostRedirects = 10

/** @throws Transient when it may work the next time; UserError when the file cannot be read, or not in parts. */
export async function locate(start: URL, guide: Guide, signal: AbortSignal): Promise<Found> {
  let [url, linked] = [start, null as string | null]
  for (let hops = 0; hops <= mostRedirects; hops++) {
    const response = await requestPart(guide, start, url, [0, 1], signal)
    void discard(response)
    linked ??= response.headers.get('x-linked-etag') // the hub's hash of the content; its storages have tags of their own
    const next = response.headers.get('location')
    if (next === null || response.status < 300 || response.status > 399)
      return arrival(start, url, linked, response, guide)
    url = new URL(next, url)
  }
  throw new UserError(`${placeOf(start)} redirects in circles`, { hint: 'check the URL' })
}

function arrival(start: URL, url: URL, linked: string | null, response: Response, guide: Guide): Found {
  const place = placeOf(start)
  if (!response.ok) refuse(place, response, guide.accessHint)
  requirePart(place, response)
  const part = partOf(response)
  if (!part)
    throw new UserError(`${place} does not tell its size`, { hint: 'download the whole file, then pull from it' })
  const etag = response.headers.get('etag')
  const version = linked ?? etag ?? response.headers.get('last-modified') ?? 'no tag'
  return { url, size: part.size, version, ...(linked === null && etag !== null && { etag }) }
}
