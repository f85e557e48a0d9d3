/** Where to pull from, as people write it: a repository of the hub, a URL, or what lies on this machine. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { UserError } from '../platform/errors.ts'
import { type ByteSource, openLocalSource } from './byte-source.ts'
import { openHttpSource } from './http-source.ts'
import { fetchThroughProxies } from './proxy.ts'
import type { Wait } from './retry.ts'

/** A folder of files, wherever it is. */
export type Place = {
  /** What it is called, without where it is. */
  name: string
  location: string
  /** @throws Missing when there is no such file; UserError when it cannot be read. */
  open(file: string, signal: AbortSignal): Promise<ByteSource>
}

/** A place, and the file in it where people named one. */
export type Pointer = { place: Place; file?: string }

/** What a pull knows of the world beside its place. */
export type Outside = { env: Environment; wait?: Wait }

/** @throws UserError for text that is none of them. */
export async function parsePlace(text: string, outside: Outside): Promise<Pointer> {
  if (existsSync(text)) return localPointer(text)
  if (/^https?:\/\//i.test(text)) return urlPointer(text, outside)
  const [, owner, name, file] = /^([\w.-]+)\/([\w.-]+)(?:\/(.+))?$/.exec(text) ?? []
  if (owner === undefined || /^\.|\.safetensors$/.test(`${name}`) || owner.startsWith('.'))
    throw new UserError(`${text} does not exist here and is neither a URL nor a repository`, {
      hint: 'give a file, an http(s) URL, owner/name, or owner/name/file.safetensors',
    })
  return hubPointer(repositoryOn(outside.env, `${owner}/${name}`), file, outside)
}

function localPointer(path: string): Pointer {
  const slash = Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\'))
  const isFile = /\.safetensors$/i.test(path) || !existsSync(join(path, '.'))
  const folder = isFile ? path.slice(0, slash + 1) : path
  const place = { name: folder.split(/[/\\]/).filter(Boolean).at(-1) ?? 'model', location: folder || '.' }
  const open = (file: string) => openLocalSource(join(folder, file))
  return { place: { ...place, open }, ...(isFile && { file: path.slice(slash + 1) }) }
}

async function urlPointer(text: string, outside: Outside): Promise<Pointer> {
  if (!URL.canParse(text)) throw new UserError(`${text} is not a usable URL`, { hint: 'check it for typing errors' })
  const url = new URL(text)
  const [, owner, name, file] = /^\/([^/]+)\/([^/]+)\/(?:blob|resolve)\/main\/(.+)$/.exec(url.pathname) ?? []
  const hub = repositoryOn(outside.env, `${owner}/${name}`)
  if (file !== undefined && url.origin === new URL(hub.endpoint).origin)
    return hubPointer(hub, decodeURIComponent(file), outside)
  const slash = url.pathname.lastIndexOf('/')
  const options = await httpOptions(outside)
  const accessHint = () => 'give a URL that opens without a login, or one of the form https://user:password@host/file'
  const place: Place = {
    name: url.pathname.slice(0, slash).split('/').at(-1) || url.hostname,
    location: `${url.origin}${url.pathname.slice(0, slash)}`,
    open: (file, signal) => {
      const target = new URL(url)
      target.pathname = `${url.pathname.slice(0, slash)}/${file}`
      return openHttpSource(target, signal, { ...options, accessHint })
    },
  }
  return { place, ...(url.pathname.length > slash + 1 && { file: url.pathname.slice(slash + 1) }) }
}

async function hubPointer(hub: Repository, file: string | undefined, outside: Outside): Promise<Pointer> {
  const options = {
    ...(await httpOptions(outside)),
    token: hub.token,
    accessHint: (reason: string | null) => hubAccessHint(hub, reason),
  }
  const place: Place = {
    name: hub.name.split('/').at(-1) as string,
    location: hub.name,
    open: (file, signal) => openHttpSource(fileUrl(hub, file), signal, options),
  }
  return { place, ...(file !== undefined && { file }) }
}

const httpOptions = async ({ env, wait }: Outside) => ({
  fetch: await fetchThroughProxies(env),
  ...(wait && { wait }),
})

/** The Hugging Face hub: what a repository's file is called on the web, and why it may not be read. */

export type Environment = Readonly<Record<string, string | undefined>>

export type Repository = { name: string; endpoint: string; token?: string | undefined }

/** @throws UserError when `HF_ENDPOINT` is no URL. */
export function repositoryOn(env: Environment, name: string): Repository {
  const endpoint = (env.HF_ENDPOINT || 'https://huggingface.co').replace(/\/+$/, '')
  if (!URL.canParse(endpoint))
    throw new UserError(`HF_ENDPOINT is not a URL: ${endpoint}`, { hint: 'write it as https://host, or unset it' })
  return { name, endpoint, token: env.HF_TOKEN || undefined }
}

export const fileUrl = ({ endpoint, name }: Repository, file: string) =>
  new URL(`${endpoint}/${name}/resolve/main/${file.split('/').map(encodeURIComponent).join('/')}`)

/** @param reason the hub's own word for it. */
export function hubAccessHint({ endpoint, name, token }: Repository, reason: string | null): string {
  if (reason === 'RepoNotFound')
    return `check the name ${name}; if it is private, set HF_TOKEN to a token that may read it`
  if (reason === 'GatedRepo' || token === undefined)
    return `accept the licence at ${endpoint}/${name}, and set HF_TOKEN to a token of that account`
  return `the token in HF_TOKEN may not read ${name}: accept its licence at ${endpoint}/${name}, or use another token`
}
