/** What workers on other machines save and find again: the files of runs. Clients have no use for these routes. */
import { stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Context } from 'hono'
import { filesBelow, sha256OfFile } from '../platform/files.ts'
import { toolVersion } from '../platform/version.ts'
import { isContent } from '../train/run-folder.ts'
import { type RunFile, runKey } from '../worker/job-files.ts'
import { readBody } from './body.ts'
import { sendFile } from './file-routes.ts'
import { HttpError } from './http-error.ts'
import { createRouter, type Env, type Services } from './services.ts'
import { decodedKey, isKey, isUuid, type StoredFiles } from './stored-files.ts'

export function workerRoutes({ queue, files, uploads, keys, limits }: Services, count: (bytes: number) => void) {
  const routes = createRouter()
  const [run, runFile] = ['/internal/runs/:id', '/internal/runs/:id/*'] as const

  routes.get('/internal/version', keys.require, (c) => c.json({ version: toolVersion }))
  routes.get(run, keys.require, async (c) => {
    const id = c.req.param('id')
    if (!isUuid(id) || !(await queue.get(id))) throw new HttpError(404, 'Request not found')
    return c.json({ files: await filesOf(files, id) })
  })
  routes.get(runFile, keys.require, async (c) => {
    await requireClaim(c) // clients get files without the places of this machine
    const file = await files.openWritten(keyOf(c))
    if (!file) throw new HttpError(404, 'File not found')
    return sendFile(c, file, count)
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

  /** A worker that has lost its request may still send, while another one has the run. @throws HttpError 412. */
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
  const key = decodedKey(encoded)
  if (key === undefined || !isContent(basename(key))) throw new HttpError(404, 'This is not the path of a file')
  return key
}

async function filesOf({ folder }: StoredFiles, id: string): Promise<RunFile[]> {
  const root = join(folder, 'runs', id)
  const listed: RunFile[] = []
  for (const path of filesBelow(root)) {
    if (!isKey(runKey(id, path)) || !isContent(basename(path))) continue
    const file = join(root, path)
    listed.push({ path, size: (await stat(file)).size, sha256: await sha256OfFile(file) })
  }
  return listed
}
