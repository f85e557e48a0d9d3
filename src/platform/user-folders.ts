/** The folders of a user: whether there is a home folder, and whether a folder can be written to. */
import { accessSync, constants, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'

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

/** Why nothing can be written to a folder, which need not exist yet; undefined where it can. Nothing is created. */
export function writeObstacle(folder: string): string | undefined {
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

const obstacles: Readonly<Record<string, string>> = {
  EACCES: 'there is no permission to write to',
  EPERM: 'there is no permission to write to',
  EROFS: 'there is a read-only disk at',
}
