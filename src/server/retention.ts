/** Removes what is old: completed requests with their runs, and uploads that no request names. */
import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Queue } from '../queue/queue.ts'
import { fileScheme } from '../queue/request.ts'
import { downloadsFolder } from '../worker/job-files.ts'

/** @param data the folder of the server's data. @param days the age of what is kept, since the request was completed or the file was uploaded. */
export async function removeOld(queue: Pick<Queue, 'removeCompleted' | 'isMentioned'>, data: string, days: number) {
  const before = new Date(Date.now() - days * 24 * 3600 * 1000)
  const files = join(data, 'files')
  for (const id of await queue.removeCompleted(before))
    for (const folder of [join(files, 'runs', id), downloadsFolder(data, id)])
      await rm(folder, { recursive: true, force: true })
  const uploads = join(files, 'uploads')
  for (const id of await readdir(uploads).catch(() => [])) {
    const isOld = (await stat(join(uploads, id))).mtime < before
    if (isOld && !(await queue.isMentioned(`${fileScheme}uploads/${id}/`)))
      await rm(join(uploads, id), { recursive: true, force: true })
  }
}
