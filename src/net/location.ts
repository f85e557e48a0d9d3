/** Locations as users write them: a path, a `file:` URL, or an `http(s):` URL. */
import { basename, extname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { UserError } from '../platform/errors.ts'

export type Location = { kind: 'path'; path: string } | { kind: 'url'; url: URL }

/** @throws UserError for a URL of another kind, and for one that is not a URL at all. */
export function parseLocation(text: string): Location {
  if (text.trim() === '') throw new UserError('the location is empty', { hint: 'give a path or an http(s) URL' })
  const [, scheme = ''] = text.match(/^([a-z][a-z0-9+.-]+):/i) ?? [] // at least two letters: C:\pairs.zip is a path
  if (/^file$/i.test(scheme)) return { kind: 'path', path: pathFromUrl(text) }
  if (/^https?$/i.test(scheme)) return { kind: 'url', url: parseUrl(text) }
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(text))
    throw new UserError(`${scheme}: locations are not supported: ${text}`, {
      hint: 'give a path, a file: URL or an http(s) URL',
    })
  return { kind: 'path', path: text }
}

/** For messages: without the user, password and query of a URL, which may be secret. */
export const shownLocation = (location: Location) => (location.kind === 'path' ? location.path : shownUrl(location.url))

export const shownUrl = ({ origin, pathname }: URL) => `${origin}${pathname}`

/** The last part of a path or URL, which may be empty. */
export function fileNameOf(location: Location): string {
  if (location.kind === 'path') return basename(resolve(location.path))
  const last = location.url.pathname.split('/').at(-1) ?? ''
  try {
    return basename(decodeURIComponent(last))
  } catch {
    return last
  }
}

/** The name of a dataset, usable as part of a folder name. */
export function datasetName(location: Location): string {
  const file = fileNameOf(location)
  const stem = extname(file).toLowerCase() === '.zip' ? file.slice(0, -'.zip'.length) : file
  return stem.replace(/[^\p{L}\p{N}._-]+/gu, '-').replace(/^[.-]+|-+$/g, '') || 'dataset'
}

function pathFromUrl(text: string): string {
  try {
    return fileURLToPath(text)
  } catch (cause) {
    throw new UserError(`${text} is not a usable file: URL`, { hint: 'write it as file:///path, or as a path', cause })
  }
}

function parseUrl(text: string): URL {
  try {
    return new URL(text)
  } catch (cause) {
    throw new UserError(`${text} is not a usable URL`, { hint: 'check it for typing errors', cause })
  }
}
