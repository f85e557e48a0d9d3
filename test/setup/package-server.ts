/** A small Python package index on this machine, and wheels for it. */
import { createHash } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { buffer } from 'node:stream/consumers'
import yazl from 'yazl'
import { normalizedName } from '../../src/setup/package-index.ts'
import { type RangeServer, serveRanges, textFile } from '../net/range-server.ts'

export type PackageServer = RangeServer & {
  index: URL
  /** Adds a wheel to its project. `listed` replaces what the index says of it. */
  add(name: string, bytes: Uint8Array, listed?: object): void
  /** The paths of all requests. */
  paths: string[]
  format: 'json' | 'html'
  /** As `user:password`; everything is refused without it. */
  login?: string
  /** Whether parts of files are sent. */
  hasRanges: boolean
  /** Responds to the request of a wheel in place of the server. @returns whether it did. */
  onWheel?: (request: IncomingMessage, response: ServerResponse) => boolean
}

type Listed = {
  filename: string
  url: string
  hashes: Record<string, string>
  size?: number
  yanked?: unknown
} & Record<string, unknown>

export async function servePackages(): Promise<PackageServer> {
  const ranges = await serveRanges()
  const projects = new Map<string, Listed[]>()
  const server = Object.assign(ranges, {
    index: new URL(ranges.url('simple/')),
    paths: [],
    format: 'json',
    hasRanges: true,
    add: (name, bytes, listed = {}) => {
      const project = normalizedName(name.split('-')[0] ?? '')
      ranges.files.set(`files/${name}`, textFile(bytes, `"${name}"`))
      const file = { filename: name, url: `../../files/${name}`, hashes: { sha256: sha256(bytes) }, size: bytes.length }
      projects.set(project, [...(projects.get(project) ?? []), { ...file, ...listed }])
    },
  } satisfies Omit<PackageServer, keyof RangeServer>) as PackageServer
  server.intercept = (request, response) => {
    const path = new URL(request.url ?? '/', 'http://localhost').pathname.slice(1)
    server.paths.push(path)
    const login = request.headers.authorization?.replace(/^Basic /, '') ?? ''
    if (server.login !== undefined && Buffer.from(login, 'base64').toString() !== server.login) return refuse(response)
    const [, project] = /^simple\/(.*)\/$/.exec(path) ?? []
    if (project === undefined) {
      if (/\.whl$/.test(path) && server.onWheel?.(request, response)) return true
      const file = server.files.get(path)
      if (server.hasRanges || !file) return false
      response.writeHead(200, { 'content-length': file.size }).end(file.bytes(0, file.size))
      return true
    }
    const files = projects.get(project)
    if (!files) response.writeHead(404).end()
    else if (server.format === 'html') response.setHeader('content-type', 'text/html').end(htmlPage(files))
    else response.setHeader('content-type', jsonType).end(JSON.stringify({ meta: {}, name: project, files }))
    return true
  }
  return server
}

function refuse(response: ServerResponse): boolean {
  response.writeHead(401, 'Unauthorized').end()
  return true
}

const jsonType = 'application/vnd.pypi.simple.v1+json'

const htmlPage = (files: readonly Listed[]) =>
  `<!DOCTYPE html><html><body><h1>Links</h1>\n${files
    .map(
      ({ filename, url, hashes }) =>
        `<a href="${url}#sha256=${hashes.sha256}" data-requires-python="&gt;=3.10">${filename}</a><br/>`,
    )
    .join('\n')}</body></html>`

export const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

/** A wheel with these files. @param size adds bytes that cannot be compressed. */
export async function wheelBytes(files: Record<string, string>, size = 0): Promise<Uint8Array> {
  const zip = new yazl.ZipFile()
  for (const [name, text] of Object.entries(files)) zip.addBuffer(Buffer.from(text), name)
  if (size > 0) zip.addBuffer(noise(size), 'padding.bin')
  zip.end()
  return buffer(zip.outputStream)
}

/** The same bytes every time. */
function noise(length: number): Buffer {
  const bytes = Buffer.alloc(length)
  for (let i = 0, state = 1; i < length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    bytes[i] = state >>> 24
  }
  return bytes
}

/** What a small wheel of TensorFlow contains on this machine. */
export const tensorflowFiles = {
  'tensorflow/include/tensorflow/c/eager/c_api.h': '// the C interface',
  'tensorflow/include/Eigen/Core.h': 'not needed',
  'tensorflow/python/ops.py': 'not needed',
  ...(process.platform === 'darwin'
    ? { 'tensorflow/libtensorflow_cc.2.dylib': 'cc', 'tensorflow/libtensorflow_framework.2.dylib': 'framework' }
    : { 'tensorflow/libtensorflow_cc.so.2': 'cc', 'tensorflow/libtensorflow_framework.so.2': 'framework' }),
}

/** A wheel with this tag runs on this machine. */
export const wheelTag =
  process.platform === 'darwin' ? 'macosx_10_14_universal2' : `linux_${process.arch === 'x64' ? 'x86_64' : 'aarch64'}`

/** METADATA as in TensorFlow's wheel for CUDA. */
export const cudaMetadata = (...requirements: string[]) =>
  [
    'Metadata-Version: 2.4',
    'Name: tensorflow',
    'Requires-Dist: numpy>=1.26.0',
    ...requirements.map((requirement) => `Requires-Dist: ${requirement}; extra == "and-cuda"`),
    'Requires-Dist: tensorflow-io>=0.23.1; (sys_platform != "win32" and python_version < "3.13") and extra == "gcs"',
    '',
    'Requires-Dist: not-a-header',
  ].join('\n')
