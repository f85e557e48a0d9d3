/** What workers on other machines save and find again: the files of runs. Clients have no use for these routes. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Context } from 'hono'
import { isLeftover, sha256OfFile } from '../platform/files.ts'
import { lockFileName } from '../platform/lock.ts'
import { toolVersion } from '../platform/version.ts'
import { type RunFile, runKey } from '../worker/job-files.ts'
import { readBody } from './body.ts'
import { HttpError } from './http-error.ts'
import { createRouter, type Env, type Services } from './services.ts'
import { isKey, isUuid, type StoredFiles } from './stored-files.ts'

export function workerRoutes({ queue, files, uploads, keys, limits }: Services) {
  const routes = createRouter()
  const [run, runFile] = ['/internal/runs/:id', '/internal/runs/:id/*'] as const

  routes.get('/internal/version', keys.require, (c) => c.json({ version: toolVersion }))
  routes.get(run, keys.require, async (c) => {
    const id = c.req.param('id')
    if (!isUuid(id) || !(await queue.get(id))) throw new HttpError(404, 'Request not found')
    return c.json({ files: await filesOf(files, id) })
  })
  routes.put(runFile, keys.require, async (c) => {
    const check = () => requireClaim(c)
    await check()
    const { uploadBytes: bytes, silenceSeconds, uploadSeconds: seconds } = limits
    const body = readBody(c, { bytes, silenceSeconds, seconds })
    await uploads.replace(keyOf(c), body, { bytes: Number(c.req.header('content-length') ?? 0), check })
    return c.json({})
  })
  routes.delete(runFile, keys.require, async (c) => {
    await requireClaim(c)
    await uploads.remove(keyOf(c))
    return c.json({})
  })
  return routes

  /** A worker that has lost its request may still send: the run is in the hands of another one. @throws HttpError 412. */
  async function requireClaim(c: Context<Env>) {
    const id = c.req.param('id') ?? ''
    const request = isUuid(id) ? await queue.get(id) : undefined
    if (!request) throw new HttpError(404, 'Request not found')
    if (request.status !== 'IN_PROGRESS' || String(request.attempts) !== c.req.query('attempt'))
      throw new HttpError(412, 'Another worker has the request, or it is completed', { type: 'claim_lost' })
  }
}

/** @throws HttpError 404 for what is not the path of a file that is saved. */
function keyOf(c: Context<Env>): string {
  const [, encoded = ''] = /^\/internal\/(.*)$/.exec(new URL(c.req.url).pathname) ?? []
  try {
    const names = encoded.split('/').map(decodeURIComponent)
    const key = names.join('/')
    if (names.every((name) => !name.includes('/')) && isSaved(key)) return key
  } catch {} // %zz
  throw new HttpError(404, 'This is not the path of a file')
}

const isSaved = (key: string) => {
  const name = key.slice(key.lastIndexOf('/') + 1)
  return isKey(key) && name !== lockFileName && !isLeftover(name)
}

async function filesOf({ folder }: StoredFiles, id: string): Promise<RunFile[]> {
  const root = join(folder, 'runs', id)
  const entries = await readdir(root, { withFileTypes: true, recursive: true }).catch((error) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  const paths = entries
    .filter((entry) => entry.isFile())
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(root.length + 1)
        .replaceAll('\\', '/'),
    )
    .filter((path) => isSaved(runKey(id, path)))
  const listed: RunFile[] = []
  for (const path of paths.sort()) {
    const file = join(root, path)
    listed.push({ path, size: (await stat(file)).size, sha256: await sha256OfFile(file) })
  }
  return listed
}
