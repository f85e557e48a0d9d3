import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it, vi } from 'vitest'
import { cacheKey, defaultCacheFolder, openCache } from '../../src/encode/cache.ts'
import { defaultDataFolder } from '../../src/engine/installation.ts'
import { homeFolder } from '../../src/platform/user-folders.ts'

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

describe('a cache that cannot be written to', () => {
  const matrix = { shape: [1, 1] as [number, number], values: Float32Array.of(1) }
  const useWarning = (path: string | undefined) => {
    const warnings: string[][] = []
    const cache = openCache(path, (...warning) => warnings.push(warning.map(String)))
    for (const key of [cacheKey('a'), cacheKey('b')]) {
      cache.put(key, matrix)
      cache.putText(key, 'line')
    }
    return { cache, warnings }
  }
  const hint = 'set LTX_A2A_CACHE to a folder that can be written to'

  it('because it is below a file, is not used, and one warning names the variable to set', () => {
    const file = join(folder, 'file')
    writeFileSync(file, '')
    const { cache, warnings } = useWarning(join(file, 'cache'))
    expect(warnings).toEqual([[`nothing is cached: ${file} is a file`, hint]])
    expect([cache.get(cacheKey('a')), cache.getText(cacheKey('a'))]).toEqual([undefined, undefined])
  })

  it('from some moment on, as on a full disk, is reported once and still read', () => {
    const home = join(folder, 'blocked')
    openCache(home).put(cacheKey('before'), matrix)
    for (const key of ['a', 'b']) writeFileSync(join(home, cacheKey(key).slice(0, 2)), '') // a file where a folder should be
    const { cache, warnings } = useWarning(home)
    expect(warnings).toEqual([[expect.stringMatching(/^nothing is cached: EEXIST/), hint]])
    expect(cache.get(cacheKey('before'))).toEqual(matrix)
  })
})

describe('the cache folder', () => {
  it('is not relative to the current folder when XDG_CACHE_HOME or HOME is empty', () => {
    expect(defaultCacheFolder({ XDG_CACHE_HOME: '' }, 'linux', '/home/a')).toBe('/home/a/.cache/ltx-a2a')
    vi.stubEnv('HOME', '')
    expect(homeFolder()).toBe('')
    expect(defaultCacheFolder({}, 'linux')).toBeUndefined()
    vi.unstubAllEnvs()
  })

  it.each(['linux', 'darwin', 'win32'] as const)(
    'does not exist for a user of %s without a home folder',
    (platform) => {
      for (const folderOf of [defaultCacheFolder, defaultDataFolder]) expect(folderOf({}, platform, '')).toBeUndefined()
      expect(defaultCacheFolder({ LTX_A2A_CACHE: '/x' }, platform, '')).toBe('/x')
    },
  )

  it('is LTX_A2A_CACHE if it is set', () => {
    expect(defaultCacheFolder({ LTX_A2A_CACHE: '/x' }, 'linux')).toBe('/x')
  })

  it('is otherwise in the cache folder of the operating system', () => {
    expect(defaultCacheFolder({ XDG_CACHE_HOME: '/c' }, 'linux')).toBe(join('/c', 'ltx-a2a'))
    expect(defaultCacheFolder({ LOCALAPPDATA: 'L' }, 'win32')).toBe(join('L', 'ltx-a2a', 'cache'))
    expect(defaultCacheFolder({}, 'darwin')).toMatch(/Caches/)
  })
})
