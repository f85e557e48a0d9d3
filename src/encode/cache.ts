/**
 * The cache of latents and contexts on disk. The key of an entry is a hash of everything it depends on: the samples or the text, and the checkpoint.
 * So entries never become outdated and are never removed here. Users may delete the folder at any time.
 */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { HostMatrix } from '../engine/device-tensors.ts'
import { float32Bytes } from '../formats/dtypes.ts'
import { openSafetensors, type Safetensors, writeSafetensors } from '../formats/safetensors.ts'
import { UserError } from '../platform/errors.ts'
import { replaceFile } from '../platform/files.ts'
import type { Reporter } from '../platform/progress.ts'
import { homeFolder, systemFolder, writeObstacle } from '../platform/user-folders.ts'

/** The version of the encoding. Increase it when the same input is encoded to other values. */
const version = 1

export type Cache = {
  get(key: CacheKey): HostMatrix | undefined
  put(key: CacheKey, matrix: HostMatrix): void
  /** A line of text. */
  getText(key: CacheKey): string | undefined
  putText(key: CacheKey, line: string): void
}

export type CacheKey = string & { readonly kind: 'cache key' }

/** The hash of all parts, which depends on where one part ends and the next begins. */
export function cacheKey(...parts: (string | number | Uint8Array)[]): CacheKey {
  const hash = createHash('sha256').update(`${version}`)
  for (const part of parts) {
    const bytes = typeof part === 'object' ? part : Buffer.from(String(part))
    hash.update(`${bytes.length}:`).update(bytes)
  }
  return hash.digest('hex').slice(0, 40) as CacheKey
}

/** `LTX_A2A_CACHE`, or a subfolder of the system's cache folder. Undefined for a user without a home folder. */
export function defaultCacheFolder(
  env: NodeJS.ProcessEnv = process.env,
  platform = process.platform,
  home = homeFolder(),
): string | undefined {
  return env.LTX_A2A_CACHE || systemFolder('cache', env, platform, home)
}

/** Why nothing can be cached; undefined where it can. */
export const cacheObstacle = (): string | undefined => writeObstacle(defaultCacheFolder())

/**
 * Opens the cache. Where it cannot be written to, everything is encoded again each time.
 * @param warn called once, when the cache cannot be written to.
 */
export function openCache(folder = defaultCacheFolder(), warn: Reporter['warn'] = () => {}): Cache {
  let isWritable = true
  const stopWriting = (obstacle: string) => {
    isWritable = false
    warn(`nothing is cached: ${obstacle}`, 'set LTX_A2A_CACHE to a folder that can be written to')
  }
  const obstacle = writeObstacle(folder)
  if (obstacle !== undefined) stopWriting(obstacle)
  if (folder === undefined) return noCache

  const tryWriting = (write: () => void) => {
    if (!isWritable) return
    try {
      write()
    } catch (error) {
      if (!(error instanceof UserError) && (error as NodeJS.ErrnoException).code === undefined) throw error
      stopWriting((error as Error).message)
    }
  }
  const pathOf = (key: CacheKey, extension = 'safetensors') => join(folder, key.slice(0, 2), `${key}.${extension}`)
  return {
    get: (key) => {
      const path = pathOf(key)
      return existsSync(path) ? readMatrix(path) : undefined
    },
    put: (key, { shape, values }) =>
      tryWriting(() =>
        writeSafetensors(pathOf(key), new Map([['matrix', { dtype: 'F32', shape, bytes: float32Bytes(values) }]])),
      ),
    getText: (key) => readText(pathOf(key, 'txt')),
    putText: (key, line) => tryWriting(() => replaceFile(pathOf(key, 'txt'), [line])),
  }
}

/** Keeps nothing. */
export const noCache: Cache = { get: () => undefined, put: () => {}, getText: () => undefined, putText: () => {} }

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined // missing, or of another user
  }
}

/** A damaged entry counts as missing and is encoded again. */
function readMatrix(path: string): HostMatrix | undefined {
  let file: Safetensors
  try {
    file = openSafetensors(path)
  } catch (error) {
    if (error instanceof UserError) return undefined
    throw error
  }
  try {
    const [rows, columns, ...rest] = file.tensors.get('matrix')?.shape ?? []
    if (rows === undefined || columns === undefined || rest.length > 0) return undefined
    return { shape: [rows, columns], values: file.float32('matrix') }
  } finally {
    file.close()
  }
}
