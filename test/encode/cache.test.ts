import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { cacheKey, defaultCacheFolder, openCache } from '../../src/encode/cache.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-test-'))
afterAll(() => rmSync(folder, { recursive: true }))

describe('the cache', () => {
  const cache = openCache(folder)

  it('returns a stored matrix bit for bit', () => {
    const matrix = { shape: [2, 3] as [number, number], values: Float32Array.of(1, -0, 1e-40, Number.NaN, 3.5, -7) }
    const key = cacheKey('test', 1)
    expect(cache.get(key)).toBeUndefined()
    cache.put(key, matrix)
    expect(cache.get(key)).toEqual(matrix)
  })

  it('treats a corrupt entry as missing and can overwrite it', () => {
    const matrix = { shape: [1, 2] as [number, number], values: Float32Array.of(1, 2) }
    const key = cacheKey('broken')
    cache.put(key, matrix)
    const [path = ''] = readdirSync(join(folder, key.slice(0, 2))).map((name) => join(folder, key.slice(0, 2), name))
    for (const bytes of ['', 'not a matrix', readFileSync(path).subarray(0, 40)]) {
      writeFileSync(path, bytes)
      expect(cache.get(key)).toBeUndefined()
    }
    cache.put(key, matrix)
    expect(cache.get(key)).toEqual(matrix)
  })

  it('uses different keys for parts that are equal when concatenated', () => {
    expect(cacheKey('ab', 'c')).not.toBe(cacheKey('a', 'bc'))
    expect(cacheKey('a', Uint8Array.of(1))).not.toBe(cacheKey('a', Uint8Array.of(2)))
  })
})

describe('the cache folder', () => {
  it('is LTX_A2A_CACHE if it is set', () => {
    expect(defaultCacheFolder({ LTX_A2A_CACHE: '/x' }, 'linux')).toBe('/x')
  })

  it('is otherwise in the cache folder of the operating system', () => {
    expect(defaultCacheFolder({ XDG_CACHE_HOME: '/c' }, 'linux')).toBe(join('/c', 'ltx-a2a'))
    expect(defaultCacheFolder({ LOCALAPPDATA: 'L' }, 'win32')).toBe(join('L', 'ltx-a2a', 'cache'))
    expect(defaultCacheFolder({}, 'darwin')).toMatch(/Caches/)
  })
})
