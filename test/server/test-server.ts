/** A server on a free port, with a queue in memory and a folder of its own. */
import { mkdtempSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createFalClient } from '@fal-ai/client'
import { onTestFinished } from 'vitest'
import { type ServerOptions, startServer } from '../../src/server/server.ts'
import { createFakeQueue } from './fake-queue.ts'

export const endpoint = 'fal-ai/ltx23-trainer-v2/a2a'

export async function serve(options: Partial<ServerOptions> = {}) {
  const data = mkdtempSync(join(tmpdir(), 'server-'))
  const queue = createFakeQueue()
  const errors: unknown[] = []
  const server = await startServer({
    queue,
    data,
    host: '127.0.0.1',
    port: 0,
    pollInterval: 10,
    onError: (error) => errors.push(error),
    ...options,
  })
  onTestFinished(async () => {
    await server.close()
    rmSync(data, { recursive: true, force: true })
  })
  const { key } = options
  const local = `http://127.0.0.1:${server.port}`
  const headers: Record<string, string> = key === undefined ? {} : { authorization: `Key ${key}` }
  return {
    ...server,
    queue,
    data,
    errors,
    fal: falClient(local, key ?? 'any'),
    fetch: (path: string, init: RequestInit = {}) =>
      fetch(`${local}${path}`, { ...init, headers: { ...headers, ...init.headers } }),
    post: (path: string, body: unknown, more: Record<string, string> = {}) =>
      fetch(`${local}${path}`, {
        method: 'POST',
        body: JSON.stringify(body),
        headers: { 'content-type': 'application/json', ...headers, ...more },
      }),
    /** Sends exactly this path and these headers, which `fetch` would correct. */
    raw: (
      path: string,
      { method = 'GET', headers: more = {} }: { method?: string; headers?: Record<string, string> } = {},
    ) => rawRequest(server.port, path, method, { ...headers, ...more }),
    /** Uploads a file. @returns its URL. */
    upload: async (content: string, name = 'pairs.zip') => {
      const init = { method: 'POST', body: content, headers: { 'x-fal-file-name': name, ...headers } }
      const { access_url } = (await (await fetch(`${local}/files/upload`, init)).json()) as { access_url: string }
      return access_url
    },
  }
}

/** The official client, whose hosts are those of the hosted API. */
export const falClient = (url: string, credentials: string) =>
  createFalClient({
    credentials,
    requestMiddleware: async (request) => ({
      ...request,
      url: request.url
        .replace('https://queue.fal.run', `${url}/queue`)
        .replace('https://fal.run', `${url}/run`)
        .replace('https://rest.fal.ai', `${url}/rest`),
    }),
  })

function rawRequest(port: number, path: string, method: string, headers: Record<string, string>) {
  return new Promise<{ status: number; headers: Record<string, unknown>; text: string }>((resolve, reject) => {
    const sent = request({ port, host: '127.0.0.1', path, method, headers, agent: false }, async (response) => {
      let text = ''
      for await (const chunk of response) text += chunk
      resolve({ status: response.statusCode ?? 0, headers: response.headers, text })
    })
    sent.on('error', reject)
    sent.end()
  })
}
