/** Where the files of an input are: files of this server, files elsewhere on the web, and bytes in a `data:` URI. Nothing else, unless paths are allowed. */
import { getExtension } from 'hono/utils/mime'
import type { Guard } from '../net/guard.ts'
import { decodedText } from '../platform/text.ts'
import { fileScheme } from '../queue/request.ts'
import { isKey, keyOfPath, type StoredFiles } from './stored-files.ts'
import type { Uploads } from './uploads.ts'
import { parsedUrl, urlRefusal } from './urls.ts'

/** How the place is named in the parameters of a request. `store` is called when the input as a whole can be used. */
export type Place =
  | { kind: 'named'; name: string }
  | { kind: 'bytes'; store(): Promise<string> }
  | { kind: 'refused'; why: string }

export type Places = {
  /** @param mayBeRemote whether it may be a URL of another server. */
  find(text: string, options: { mayBeRemote: boolean }): Promise<Place>
}

type PlacesOptions = { files: StoredFiles; uploads: Uploads; allowLocalPaths: boolean; guard: Guard | undefined }

/** @param ownUrls the URLs of this server, without a slash at the end. */
export function createPlaces(
  ownUrls: readonly string[],
  { files, uploads, allowLocalPaths, guard }: PlacesOptions,
): Places {
  return {
    find: async (text, { mayBeRemote }) => {
      const [, scheme = ''] = /^([a-z][a-z\d+.-]+):/i.exec(text) ?? [] // at least two letters: C:\pairs.zip is a path
      switch (scheme.toLowerCase()) {
        case 'http':
        case 'https': {
          const url = parsedUrl(text)
          if (!url) return refused('It is not a valid URL.')
          const own = ownUrls.find((own) => isBelow(url, own))
          if (own !== undefined)
            return fileOf(url.pathname.slice(new URL(own).pathname.replace(/\/$/, '').length), files)
          if (mayBeRemote) {
            const why = urlRefusal(text, guard)
            return why === undefined ? { kind: 'named', name: text } : refused(why)
          }
          return refused('Upload the file: this parameter takes files of this server only.')
        }
        case 'data':
          return dataOf(text, uploads)
        case '':
        case 'file':
          if (allowLocalPaths) return { kind: 'named', name: text }
          return refused('It is not a URL: upload the file, and give the URL of the upload.')
        default:
          return refused(`URLs of the scheme ${scheme.slice(0, 20)} are not supported.`)
      }
    },
  }
}

const refused = (why: string): Place => ({ kind: 'refused', why })

function isBelow(url: URL, own: string): boolean {
  const { host, pathname } = new URL(own)
  return url.host === host && url.pathname.startsWith(`${pathname.replace(/\/$/, '')}/files/`)
}

async function fileOf(path: string, files: StoredFiles): Promise<Place> {
  const key = keyOfPath(path)
  if (key === undefined || !isKey(key) || !(await files.find(key))) return refused('This server has no such file.')
  return { kind: 'named', name: fileScheme + key }
}

/** `data:audio/wav;base64,…` */
function dataOf(text: string, uploads: Uploads): Place {
  const [, type = '', base64, content = ''] = /^data:([^,;]*)(?:;[^,;]*?)*?(;base64)?,(.*)$/is.exec(text) ?? []
  const bytes = base64 === undefined ? Buffer.from(decodedText(content)) : Buffer.from(content, 'base64')
  if (bytes.length === 0) return refused('The data: URI is empty.')
  return {
    kind: 'bytes',
    store: async () => {
      const key = await uploads.start(`data.${extensionOf(type.toLowerCase())}`)
      await uploads.write(key, [bytes], bytes.length)
      return fileScheme + key
    },
  }
}

const extensionOf = (type: string) =>
  /^audio\/(x-|vnd\.)?wave?$/.test(type)
    ? 'wav'
    : /^audio\/(x-)?flac$/.test(type)
      ? 'flac'
      : (getExtension(type) ?? 'bin')
