/** The pages of a Python package index: JSON (PEP 691) or HTML (PEP 503). */
import { Parser } from 'htmlparser2'
import { z } from 'zod'
import { shownUrl } from '../net/http-client.ts'
import { UserError } from '../platform/errors.ts'
import { decodedText } from '../platform/text.ts'

export type IndexFile = {
  /** The name of the file alone: never a path. */
  name: string
  /** With the login of the index where it is on the same server. */
  url: URL
  /** 64 hexadecimal digits in lower case. */
  sha256?: string
  bytes?: number
  isYanked: boolean
  /** Where the index also serves the file METADATA of a wheel (PEP 658). */
  metadata?: { url: URL; sha256?: string }
}

const hashes = z.record(z.string(), z.unknown())
const metadata = z.union([z.boolean(), hashes]).nullish().catch(undefined)
const jsonFile = z.object({
  filename: z.string(),
  url: z.string(),
  hashes: hashes.nullish(),
  size: z.number().int().nonnegative().nullish().catch(undefined),
  yanked: z.unknown().optional(),
  'core-metadata': metadata,
  'dist-info-metadata': metadata,
})
const jsonPage = z.object({ files: z.array(z.unknown()) })

/**
 * What a page lists. Files that cannot be used are left out: those without a URL on the web, and those whose names no file can have.
 * @param page its URL, to which the links may be relative.
 * @throws UserError for something else than a page of an index.
 */
export function parseJsonPage(text: string, page: URL): IndexFile[] {
  return parseJson(text, page).files.flatMap((listed) => {
    const { data: file } = jsonFile.safeParse(listed)
    const url = file && webUrl(file.url, page)
    if (!url || !isFileName(file.filename)) return []
    const { size: bytes, yanked } = file
    const metadata = file['core-metadata'] ?? file['dist-info-metadata'] ?? false
    return {
      name: file.filename,
      url,
      ...sha256In(file.hashes?.sha256),
      ...(typeof bytes === 'number' && { bytes }),
      isYanked: yanked === true || typeof yanked === 'string',
      ...metadataOf(url, typeof metadata === 'boolean' ? metadata : metadata.sha256),
    }
  })
}

function parseJson(text: string, page: URL) {
  try {
    return jsonPage.parse(JSON.parse(text))
  } catch (cause) {
    const hint = 'check the URL of the index: pip config list'
    throw new UserError(`${shownUrl(page)} is not the page of a package index`, { hint, cause })
  }
}

/** The links of a page. Everything else in it is ignored, and so are links as `parseJsonPage` leaves them out. */
export function parseHtmlPage(text: string, page: URL): IndexFile[] {
  const files: IndexFile[] = []
  let base: URL | undefined
  const onopentag = (tag: string, attributes: Record<string, string>) => {
    const { href } = attributes
    if (href === undefined) return
    const url = webUrl(href, base ?? page)
    if (tag === 'base') base ??= url
    else if (tag === 'a' && url) files.push(...linkedFile(url, attributes))
  }
  new LinkParser({ onopentag }).end(text)
  return files
}

/** Only tags are read, so no element waits for its end: those that never end would make it slow. */
class LinkParser extends Parser {
  protected override isVoidElement() {
    return true
  }
}

function linkedFile(url: URL, attributes: Record<string, string>): IndexFile[] {
  const [, sha256] = /[#&]sha256=([^&]*)/i.exec(url.hash) ?? []
  url.hash = ''
  const name = decodedText(url.pathname.split('/').at(-1) ?? '')
  if (!isFileName(name)) return []
  const metadata = attributes['data-core-metadata'] ?? attributes['data-dist-info-metadata']
  const [, metadataHash] = /^sha256=(.*)$/i.exec(metadata ?? '') ?? []
  return [
    {
      name,
      url,
      ...sha256In(sha256),
      isYanked: 'data-yanked' in attributes,
      ...metadataOf(url, metadataHash ?? (metadata !== undefined && metadata !== 'false')),
    },
  ]
}

/** Undefined for text that is not a URL, and for one that leads elsewhere. */
function webUrl(link: string, page: URL): URL | undefined {
  const url = URL.canParse(link, page.href) ? new URL(link, page) : undefined
  return url?.protocol === 'https:' || url?.protocol === 'http:' ? url : undefined
}

/** The name is part of a path on this machine. File systems take 255 bytes, and an unfinished download has more at its end. */
const isFileName = (name: string) =>
  !/[/\\\p{Cc}]|^\.{0,2}$/u.test(name) && Buffer.byteLength(name) <= 255 - '.partial'.length

function sha256In(hash: unknown): Pick<IndexFile, 'sha256'> {
  return typeof hash === 'string' && /^[\da-f]{64}$/i.test(hash) ? { sha256: hash.toLowerCase() } : {}
}

/** @param listed whether the index has METADATA, or its SHA-256. With one that cannot be checked, it is not used. */
function metadataOf(wheel: URL, listed: unknown): Pick<IndexFile, 'metadata'> {
  const hash = sha256In(listed)
  if (listed === false || (typeof listed === 'string' && hash.sha256 === undefined)) return {}
  const url = new URL(wheel)
  url.pathname += '.metadata'
  return { metadata: { url, ...hash } }
}
