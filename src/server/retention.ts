/** Removes what is old, and what clients remove: completed requests with their runs, and uploads that no request names. */
import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Queue } from '../queue/queue.ts'
import { fileScheme } from '../queue/request.ts'
import { downloadsFolder } from '../worker/job-files.ts'

/** @param data the folder of the server's data. @param days the age of what is kept, since the request was completed or the file was uploaded. */
export async function removeOld(queue: Pick<Queue, 'removeCompleted' | 'isMentioned'>, data: string, days: number) {
  const before = new Date(Date.now() - days * 24 * 3600 * 1000)
  for (const id of await queue.removeCompleted(before)) await removeRun(data, id)
  for (const id of await readdir(uploadsFolder(data)).catch(() => [])) {
    const isOld = (await stat(join(uploadsFolder(data), id))).mtime < before
    if (isOld) await removeUnusedUpload(queue, data, id)
  }
}

/**
 * Removes a completed request, its run, and the uploads that only it names.
 * @param data the folder of the server's data.
 * @returns `running` for a request that is not completed: it is kept.
 */
export async function removeRequest(
  queue: Pick<Queue, 'get' | 'remove' | 'isMentioned'>,
  data: string,
  id: string,
): Promise<'removed' | 'running' | 'unknown'> {
  const request = await queue.get(id)
  const result = await queue.remove(id)
  if (!request || result !== 'removed') return result
  await removeRun(data, id)
  const named = JSON.stringify(request.parameters).matchAll(uploadPattern)
  for (const upload of new Set(Array.from(named, ([, upload]) => upload as string)))
    await removeUnusedUpload(queue, data, upload)
  return 'removed'
}

const uploadPattern = new RegExp(`${fileScheme}uploads/([\\da-f-]{36})/`, 'g')

const uploadsFolder = (data: string) => join(data, 'files', 'uploads')

async function removeRun(data: string, id: string) {
  for (const folder of [join(data, 'files', 'runs', id), downloadsFolder(data, id)])
    await rm(folder, { recursive: true, force: true })
}

async function removeUnusedUpload(queue: Pick<Queue, 'isMentioned'>, data: string, id: string) {
  if (!(await queue.isMentioned(`${fileScheme}uploads/${id}/`)))
    await rm(join(uploadsFolder(data), id), { recursive: true, force: true })
}
