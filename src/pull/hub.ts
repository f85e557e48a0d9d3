/** The Hugging Face hub: what a repository's file is called on the web, and why it may not be read. */
import { UserError } from '../errors.ts'

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
