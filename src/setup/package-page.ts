/** The pages of a Python package index: JSON (PEP 691) or HTML (PEP 503). */
import { z } from 'zod'
import { shownUrl } from '../net/http-client.ts'
import { UserError } from '../platform/errors.ts'

export type IndexFile = {
  /** The file name. */
  name: string
  /** With the login of the index where it is on the same server. */
  url: URL
  sha256?: string
  bytes?: number
  isYanked: boolean
  /** Where the index also serves the file METADATA of a wheel (PEP 658). */
  metadata?: { url: URL; sha256?: string }
}

const hashes = z.record(z.string(), z.string())
const jsonFile = z.object({
  filename: z.string(),
  url: z.string(),
  hashes: hashes.default({}),
  size: z.number().int().nonnegative().optional(),
  yanked: z.union([z.boolean(), z.string()]).default(false),
  'core-metadata': z.union([z.boolean(), hashes]).optional(),
  'dist-info-metadata': z.union([z.boolean(), hashes]).optional(),
})
const jsonPage = z.object({ files: z.array(jsonFile) })

/** @param page its URL, to which the links may be relative. */
export function parseJsonPage(text: string, page: URL): IndexFile[] {
  return parseJson(text, page).files.map((file) => {
    const url = linkedUrl(file.url, page)
    const metadata = file['core-metadata'] ?? file['dist-info-metadata'] ?? false
    const sha256 = file.hashes.sha256
    return {
      name: file.filename,
      url,
      ...(sha256 !== undefined && { sha256: sha256.toLowerCase() }),
      ...(file.size !== undefined && { bytes: file.size }),
      isYanked: file.yanked !== false,
      ...(metadata !== false && metadataOf(url, metadata === true ? undefined : metadata.sha256)),
    }
  })
}

function parseJson(text: string, page: URL) {
  try {
    return jsonPage.parse(JSON.parse(text))
  } catch (cause) {
    throw new UserError(`${shownUrl(page)} is not the page of a package index`, { hint: settingsHint, cause })
  }
}

const settingsHint = 'check the URL of the index: pip config list'

/** The links of a page. Everything else in it is ignored. @throws UserError for a page without any. */
export function parseHtmlPage(text: string, page: URL): IndexFile[] {
  const [, baseTag = ''] = /<base\b([^>]*)>/i.exec(text) ?? []
  const base = linkedUrl(attributesOf(baseTag).get('href') ?? '', page)
  const links = [...text.matchAll(/<a\b((?:[^>"']|"[^"]*"|'[^']*')*)>/gi)].map(([, tag = '']) => attributesOf(tag))
  if (links.length === 0) throw new UserError(`${shownUrl(page)} has no links to packages`, { hint: settingsHint })
  return links.flatMap((attributes) => {
    const href = attributes.get('href')
    if (href === undefined) return []
    const url = linkedUrl(href, base)
    const [, sha256] = /[#&]sha256=([\da-f]{64})/i.exec(url.hash) ?? []
    url.hash = ''
    const metadata = attributes.get('data-core-metadata') ?? attributes.get('data-dist-info-metadata')
    const [, metadataHash] = /^sha256=([\da-f]{64})$/i.exec(metadata ?? '') ?? []
    return {
      name: decodeURIComponent(url.pathname.split('/').at(-1) ?? ''),
      url,
      ...(sha256 !== undefined && { sha256: sha256.toLowerCase() }),
      isYanked: attributes.has('data-yanked'),
      ...(metadata !== undefined && metadata !== 'false' && metadataOf(url, metadataHash)),
    }
  })
}

function attributesOf(tag: string): Map<string, string> {
  const found = tag.matchAll(/([\w-]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?/g)
  return new Map([...found].map(([, name = '', a, b, c]) => [name.toLowerCase(), decoded(a ?? b ?? c ?? '')]))
}

const entities: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }

const decoded = (text: string) =>
  text.replace(/&(?:#x([\da-f]+)|#(\d+)|(\w+));/gi, (whole, hex, decimal, name) => {
    if (name) return entities[name.toLowerCase()] ?? whole
    return String.fromCodePoint(hex ? Number.parseInt(hex, 16) : Number(decimal))
  })

function linkedUrl(link: string, page: URL): URL {
  if (URL.canParse(link, page.href)) return new URL(link, page)
  throw new UserError(`${shownUrl(page)} links to ${link}, which is not a URL`, { hint: settingsHint })
}

function metadataOf(wheel: URL, sha256: string | undefined): Pick<IndexFile, 'metadata'> {
  const url = new URL(wheel)
  url.pathname += '.metadata'
  return { metadata: { url, ...(sha256 !== undefined && { sha256: sha256.toLowerCase() }) } }
}
