/**
 * Locations as users write them. A dataset is at a path, a `file:` URL or an `http(s):` URL. A model to pull is at a path, at an `http(s):` URL or in a
 * repository of the Hugging Face hub.
 */
import { existsSync } from 'node:fs'
import { basename, extname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { UserError } from '../platform/errors.ts'
import { decodedText, maskedUrl } from '../platform/text.ts'
import { type ByteSource, openLocalSource } from './byte-source.ts'
import { createHttpClient, shownUrl } from './http-client.ts'
import { openHttpSource } from './http-source.ts'
import type { Environment } from './proxies.ts'
import type { Sleep } from './retry.ts'

export type Location = { kind: 'path'; path: string } | { kind: 'url'; url: URL }

/** @throws UserError for a URL of another kind, and for one that is not a URL at all. */
export function parseLocation(text: string): Location {
  if (text.trim() === '') throw new UserError('the location is empty', { hint: 'give a path or an http(s) URL' })
  const [, scheme = ''] = text.match(/^([a-z][a-z0-9+.-]+):/i) ?? [] // at least two letters: C:\pairs.zip is a path
  if (/^file$/i.test(scheme)) return { kind: 'path', path: pathFromUrl(text) }
  if (/^https?$/i.test(scheme)) return { kind: 'url', url: parseUrl(text) }
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(text))
    throw new UserError(`${scheme}: locations are not supported: ${maskedUrl(text)}`, {
      hint: 'give a path, a file: URL or an http(s) URL',
    })
  return { kind: 'path', path: text }
}

/** For messages: without the user, password and query of a URL, which may be secret. */
export const shownLocation = (location: Location) => (location.kind === 'path' ? location.path : shownUrl(location.url))

/** The last part of a path or URL, which may be empty. */
export function fileNameOf(location: Location): string {
  if (location.kind === 'path') return basename(resolve(location.path))
  return basename(decodedText(location.url.pathname.split('/').at(-1) ?? ''))
}

/** The name of a dataset, usable as part of a folder name. */
export function datasetName(location: Location): string {
  const file = fileNameOf(location)
  const stem = extname(file).toLowerCase() === '.zip' ? file.slice(0, -'.zip'.length) : file
  return safeName(stem) || 'dataset'
}

/** A name from outside as one that every file system takes, which may be empty: letters, digits, `.`, `_` and `-`, not hidden, not too long. */
export function safeName(text: string): string {
  const name = text
    .normalize('NFC') // macOS stores é as e followed by a combining accent
    .replace(/[^\p{L}\p{M}\p{N}._-]+/gu, '-')
    .replace(/^[.-]+/, '')
  return firstBytes(name, longestNameBytes).replace(/-+$/, '')
}

/** File systems take 255 bytes, and a run folder adds a date to the name. */
const longestNameBytes = 200

/** As many whole characters as fit. */
function firstBytes(text: string, bytes: number): string {
  let fitting = ''
  for (const character of text) {
    if (Buffer.byteLength(fitting + character) > bytes) break
    fitting += character
  }
  return fitting
}

function pathFromUrl(text: string): string {
  try {
    return fileURLToPath(text)
  } catch (cause) {
    throw new UserError(`${maskedUrl(text)} is not a usable file: URL`, {
      hint: 'write it as file:///path, or as a path',
      cause,
    })
  }
}

function parseUrl(text: string): URL {
  try {
    return new URL(text)
  } catch (cause) {
    throw new UserError(`${maskedUrl(text)} is not a usable URL`, { hint: 'check it for typing errors', cause })
  }
}

/** A folder of files, local or remote. */
export type ModelFolder = {
  /** The name of the folder or repository. */
  name: string
  location: string
  /** @throws NotFoundError when there is no such file; UserError when it cannot be read. */
  open(file: string, signal: AbortSignal): Promise<ByteSource>
}

/** The folder of a model, and the file in it if one was named. */
export type ModelLocation = { modelFolder: ModelFolder; file?: string }

/** The environment that a pull runs in. */
export type PullEnv = {
  env: Environment
  /** How it waits before it retries. */
  sleep?: Sleep
  /** The free bytes of the disk that a folder is on, or will be. */
  freeBytes?: (folder: string) => number
}

/** A URL as that of a folder, unless it ends in the name of a safetensors file. Other text stays as it is. */
export function asFolder(text: string): string {
  if (!/^https?:\/\//i.test(text)) return text
  const url = parseUrl(text)
  if (isSafetensors(url.pathname) || url.pathname.endsWith('/')) return text
  url.pathname += '/'
  return url.href
}

export const isSafetensors = (name: string) => /\.safetensors$/i.test(name)

/** @throws UserError for text that is none of them. */
export async function parseModelLocation(text: string, pullEnv: PullEnv): Promise<ModelLocation> {
  if (existsSync(text)) return localLocation(text)
  if (/^https?:\/\//i.test(text)) return urlLocation(text, pullEnv)
  const [, owner, name, file] = /^([\w.-]+)\/([\w.-]+)(?:\/(.+))?$/.exec(text) ?? []
  if (owner === undefined || /^\.|\.safetensors$/.test(`${name}`) || owner.startsWith('.'))
    throw new UserError(
      `${text.includes('://') ? maskedUrl(text) : text} does not exist here and is neither a URL nor a repository`,
      {
        hint: 'give a file, an http(s) URL, owner/name, or owner/name/file.safetensors',
      },
    )
  return hubLocation(repositoryOn(pullEnv.env, `${owner}/${name}`), file, pullEnv)
}

function localLocation(path: string): ModelLocation {
  const slash = Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\'))
  const isFile = isSafetensors(path) || !existsSync(join(path, '.'))
  const folder = isFile ? path.slice(0, slash + 1) : path
  const modelFolder = { name: folder.split(/[/\\]/).filter(Boolean).at(-1) ?? 'model', location: folder || '.' }
  const open = (file: string) => openLocalSource(join(folder, file))
  return { modelFolder: { ...modelFolder, open }, ...(isFile && { file: path.slice(slash + 1) }) }
}

async function urlLocation(text: string, pullEnv: PullEnv): Promise<ModelLocation> {
  const url = parseUrl(text)
  const [, owner, name, file] = /^\/([^/]+)\/([^/]+)\/(?:blob|resolve)\/main\/(.+)$/.exec(url.pathname) ?? []
  const hub = repositoryOn(pullEnv.env, `${owner}/${name}`)
  const isOnHub = url.origin === new URL(hub.endpoint).origin
  if (file !== undefined && isOnHub) return hubLocation(hub, decodedText(file), pullEnv)
  const [, repository] = /^\/([^/]+\/[^/]+?)(?:\/tree\/main)?\/?$/.exec(url.pathname) ?? []
  if (repository !== undefined && isOnHub && !isSafetensors(repository))
    return hubLocation(repositoryOn(pullEnv.env, repository), undefined, pullEnv)
  const slash = url.pathname.lastIndexOf('/')
  const client = createHttpClient(pullEnv)
  const accessHint = () => 'give a URL that opens without a login, or one of the form https://user:password@host/file'
  const modelFolder: ModelFolder = {
    name: url.pathname.slice(0, slash).split('/').at(-1) || url.hostname,
    location: `${url.origin}${url.pathname.slice(0, slash)}`,
    open: (file, signal) => {
      const target = new URL(url)
      target.pathname = `${url.pathname.slice(0, slash)}/${file}`
      return openHttpSource(target, signal, client, { accessHint })
    },
  }
  return { modelFolder, ...(url.pathname.length > slash + 1 && { file: url.pathname.slice(slash + 1) }) }
}

async function hubLocation(hub: Repository, file: string | undefined, pullEnv: PullEnv): Promise<ModelLocation> {
  const client = createHttpClient(pullEnv)
  const options = { token: hub.token, accessHint: (reason: string | null) => hubAccessHint(hub, reason) }
  const modelFolder: ModelFolder = {
    name: hub.name.split('/').at(-1) as string,
    location: hub.name,
    open: (file, signal) => openHttpSource(fileUrl(hub, file), signal, client, options),
  }
  return { modelFolder, ...(file !== undefined && { file }) }
}

type Repository = { name: string; endpoint: string; token?: string | undefined }

/** @throws UserError when `HF_ENDPOINT` is no URL. */
function repositoryOn(env: Environment, name: string): Repository {
  const endpoint = (env.HF_ENDPOINT || 'https://huggingface.co').replace(/\/+$/, '')
  if (!URL.canParse(endpoint) || !/^https?:/i.test(endpoint))
    throw new UserError(`HF_ENDPOINT is not a URL: ${maskedUrl(endpoint)}`, {
      hint: 'write it as https://host, or unset it',
    })
  return { name, endpoint, token: env.HF_TOKEN || undefined }
}

const fileUrl = ({ endpoint, name }: Repository, file: string) =>
  new URL(`${endpoint}/${name}/resolve/main/${file.split('/').map(encodeURIComponent).join('/')}`)

/** @param reason the error code of the hub. */
function hubAccessHint({ endpoint, name, token }: Repository, reason: string | null): string {
  const page = shownUrl(new URL(`${endpoint}/${name}`))
  if (reason === 'RepoNotFound')
    return `check the name ${name}; if it is private, set HF_TOKEN to a token that may read it`
  if (reason === 'GatedRepo' || token === undefined)
    return `accept the licence at ${page}, and set HF_TOKEN to a token of that account`
  return `the token in HF_TOKEN may not read ${name}: accept its licence at ${page}, or use another token`
}
