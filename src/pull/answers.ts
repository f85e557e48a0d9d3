/** What a server's answer means for a download, in a sentence. */
import { UserError } from '../errors.ts'
import { Missing } from './missing.ts'
import { Transient } from './patience.ts'

/** @throws Transient for what may pass; UserError for what will not. */
export function refuse(
  place: string,
  { status, statusText, headers }: Response,
  accessHint: (reason: string | null) => string,
): never {
  const answered = `${place} answered ${status} ${statusText}`.trimEnd()
  if (status === 408 || status === 429 || status >= 500) throw new Transient(answered, secondsUntilRetry(headers))
  if (status === 401 || status === 403)
    throw new UserError(`${place} may not be read (${status})`, { hint: accessHint(headers.get('x-error-code')) })
  if (status === 404 || status === 410)
    throw new Missing(`${place} does not exist (${status})`, { hint: 'check it for typing errors' })
  if (status === 416)
    throw new UserError(`${place} is empty, or shorter than it was (416)`, { hint: 'check the file, and begin again' })
  throw new UserError(answered, { hint: 'check that the URL leads to the file itself' })
}

/** @throws UserError for a web page, and for a server that sends the whole file when asked for a part. */
export function requirePart(place: string, { status, headers }: Response) {
  if (/^text\/html\b/i.test(headers.get('content-type') ?? ''))
    throw new UserError(`${place} is a web page, not a file`, {
      hint: 'give the link of the file itself: on the hub, the one with /resolve/ in it',
    })
  if (status === 206) return
  throw new UserError(`${place} lies on a server that sends only whole files`, {
    hint: 'download the whole file, then: ltx-a2a pull <the file>',
  })
}

/** Seconds, or a date. */
function secondsUntilRetry(headers: Headers): number | undefined {
  const text = headers.get('retry-after')
  if (text === null) return undefined
  const seconds = /^\d+$/.test(text.trim()) ? Number(text) : (Date.parse(text) - Date.now()) / 1000
  return Number.isFinite(seconds) ? Math.max(0, seconds) : undefined
}
