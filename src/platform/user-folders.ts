/** The folders of a user: where they are, and whether they can be written to. */
import { accessSync, constants, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { UserError } from './errors.ts'

/** The home folder; empty for a user without one, as in containers that run under any user ID. */
export function homeFolder(): string {
  try {
    return homedir() // empty where HOME is
  } catch {
    return '' // no HOME, and no entry in /etc/passwd
  }
}

/** A path below a folder; undefined where there is none. */
export const subfolder = (folder: string | undefined, ...names: string[]): string | undefined =>
  folder ? join(folder, ...names) : undefined

/** The system's folder for the caches or for the data of this program. Undefined for a user without a home folder. */
export function systemFolder(
  kind: 'cache' | 'data',
  env: NodeJS.ProcessEnv,
  platform: NodeJS.Platform,
  home: string,
): string | undefined {
  if (platform === 'win32') return subfolder(env.LOCALAPPDATA || subfolder(home, 'AppData', 'Local'), 'ltx-a2a', kind)
  if (platform === 'darwin')
    return subfolder(home, 'Library', { cache: 'Caches', data: 'Application Support' }[kind], 'ltx-a2a')
  const folder =
    kind === 'cache'
      ? env.XDG_CACHE_HOME || subfolder(home, '.cache')
      : env.XDG_DATA_HOME || subfolder(home, '.local', 'share')
  return subfolder(folder, 'ltx-a2a')
}

/**
 * Why nothing can be written to a folder, which need not exist yet; undefined where it can. Nothing is created.
 * @param folder undefined is one of a user without a home folder.
 */
export function writeObstacle(folder: string | undefined): string | undefined {
  if (folder === undefined) return 'there is no home folder'
  const path = resolve(folder)
  try {
    if (!statSync(path).isDirectory()) return `${path} is a file`
    accessSync(path, constants.W_OK | constants.X_OK)
    return undefined
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    const parent = dirname(path)
    if ((code === 'ENOENT' || code === 'ENOTDIR') && parent !== path) return writeObstacle(parent)
    return Object.hasOwn(obstacles, code) ? `${obstacles[code]} ${path}` : undefined // writing will tell
  }
}

/**
 * @param message the beginning of the error's sentence, before the folder.
 * @throws UserError when nothing can be written to the folder.
 */
export function requireWritable(folder: string, message: string, hint: string) {
  const obstacle = writeObstacle(folder)
  if (obstacle !== undefined) throw new UserError(`${message} ${folder}: ${obstacle}`, { hint, code: 'machine_error' })
}

const obstacles: Readonly<Record<string, string>> = {
  EACCES: 'there is no permission to write to',
  EPERM: 'there is no permission to write to',
  EROFS: 'there is a read-only disk at',
}
