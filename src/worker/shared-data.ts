/** The data folder of a server, which workers of other processes and machines may share with it. The server marks it: with its version and its queue. */
import { randomUUID } from 'node:crypto'
import { accessSync, constants, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { UserError } from '../platform/errors.ts'
import { replaceJson } from '../platform/files.ts'
import { toolVersion } from '../platform/version.ts'

const markPath = (data: string) => join(data, 'server.json')

const mark = z.object({ version: z.string(), queue: z.string(), folder: z.string() })

/** Called by the server, which has locked the folder. */
export function writeDataMark(data: string, { queue, folder }: { queue: string; folder: string }) {
  replaceJson(markPath(data), { version: toolVersion, queue, folder } satisfies z.infer<typeof mark>)
}

/** What tells this data folder from every other one: what is written in it, else a new id. A copy of the folder has the same. */
export const dataFolderId = (data: string): string => readMark(data)?.folder ?? randomUUID()

/**
 * Checks that a server with this version uses the folder with this queue, and that this process may write there.
 * The folder is not locked: that is for its one server, and each run has a lock of its own.
 * @throws UserError otherwise.
 */
export function checkSharedData(data: string, queue: string) {
  const found = readMark(data)
  if (!found)
    throw new UserError(`${data} is not the data folder of a server`, {
      hint: 'name the folder that serve has as its --data, and start the server first; or name the server with --server',
    })
  if (found.queue !== queue)
    throw new UserError(`${data} belongs to a server with another queue`, {
      hint: 'name the --queue and the --data that the server has',
    })
  if (found.version !== toolVersion)
    throw new UserError(`the server of ${data} has version ${found.version}, and this worker ${toolVersion}`, {
      hint: 'install the same version for both, and start the server first',
    })
  for (const folder of [data, join(data, 'files')]) requireWritable(folder)
}

function readMark(data: string): z.infer<typeof mark> | undefined {
  try {
    return mark.parse(JSON.parse(readFileSync(markPath(data), 'utf8')))
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    if (code === '' || code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw error
  }
}

function requireWritable(folder: string) {
  try {
    accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (cause) {
    throw new UserError(`${folder} cannot be written`, {
      hint: 'run the worker as the user of the server, and mount the folder for writing',
      cause,
    })
  }
}
