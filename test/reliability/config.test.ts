import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { defaultLimits, limitNames, parseLimits, raiseLimitHint } from '../../src/config/limits.ts'
import { resolveTrainSettings } from '../../src/config/settings.ts'
import { UserError } from '../../src/platform/errors.ts'
import { openRunFolder } from '../../src/train/run-folder.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-test-'))
afterAll(() => rmSync(folder, { recursive: true }))
const path = join(folder, 'job.json')

const resolve = (text: string | Uint8Array) => {
  writeFileSync(path, text)
  return resolveTrainSettings({ flags: {}, configFile: path })
}

describe('a job file is refused', () => {
  it.each<[what: string, text: string, message: RegExp]>([
    ['of 2 MB', JSON.stringify({ trigger_phrase: 'x'.repeat(2e6) }), /has more than 1000000 bytes/],
    ['with 100,000 open brackets', '['.repeat(1e5), /is not JSON/],
    ['with 200,000 nested arrays', `{"rank":${'['.repeat(2e5)}${']'.repeat(2e5)}}`, /rank must be a whole number/],
    ['with __proto__', '{"__proto__":{"rank":8},"data":"x.zip"}', /unknown parameter "__proto__"/],
    ['with constructor', '{"constructor":{},"data":"x.zip"}', /unknown parameter "constructor"/],
    [
      'with __proto__ in a nested object',
      '{"data":"x","validation":[{"reference_audio_url":"x","__proto__":{}}]}',
      /__proto__/,
    ],
    ['with a parameter name of 0.5 MB', JSON.stringify({ ['x'.repeat(5e5)]: 1 }), /unknown parameter/],
    ['with a number that overflows', '{"data":"x","number_of_steps":1e999}', /number_of_steps must be/],
    ['with a NUL in a path', '{"data":"x\\u0000.zip"}', /must be a path/],
  ])('%s', (_, text, message) => {
    const started = performance.now()
    expect(() => resolve(text)).toThrow(message)
    expect(performance.now() - started).toBeLessThan(5000)
    expect(({} as { rank?: unknown }).rank).toBeUndefined()
  })

  it('or accepted, for any JSON', () => {
    const names = fc.constantFrom(
      'data',
      'rank',
      'validation',
      'seed',
      'target_modules',
      '__proto__',
      'out',
      'résolution',
    )
    const job = fc.dictionary(names, fc.jsonValue(), { noNullPrototype: true })
    fc.assert(
      fc.property(fc.oneof(job, fc.jsonValue()), (value) => {
        try {
          resolve(JSON.stringify(value))
        } catch (error) {
          expect(error).toBeInstanceOf(UserError)
        }
      }),
      { numRuns: 300 },
    )
  })
})

it('a folder with an invalid or oversized config.json is not a run', () => {
  for (const text of ['{}', 'null', '[]', '"x"', '[[[', `{"tool":"ltx-a2a","x":"${'x'.repeat(11e6)}"}`]) {
    writeFileSync(join(folder, 'config.json'), text)
    expect(() => openRunFolder(folder)).toThrow(/is not a run of ltx-a2a/)
  }
})

describe('a limit', () => {
  it('is documented with its default', () => {
    const page = readFileSync(new URL('../../docs/reliability.md', import.meta.url), 'utf8')
    const rows = [...page.matchAll(/^\| `([a-z-]+)` \| (\d+) \|/gm)].map(([, name, value]) => [name, Number(value)])
    expect(rows).toEqual(limitNames.map((name) => [name, defaultLimits[name]]))
  })

  it.each([[null], ['zip-files=7'], [[5]]])('is refused when a program gives %j', (texts) =>
    expect(() => parseLimits(texts as never)).toThrow(UserError),
  )

  it('is raised by its name; of several values the last is used', () => {
    const limits = parseLimits(['zip-files=7, audio-minutes=1.5', 'zip-files=8', ''])
    expect(limits).toEqual({ ...defaultLimits, 'zip-files': 8, 'audio-minutes': 1.5 })
    expect(parseLimits(['zip-files=9'], limits)).toEqual({ ...limits, 'zip-files': 9 })
    expect(parseLimits([])).toEqual(defaultLimits)
    expect(raiseLimitHint('zip-files', 10.2)).toBe('raise it with --limit zip-files=11')
  })

  it.each([
    'zip-files',
    'zip-files=',
    'zip-files=-1',
    'zip-files=0',
    'zip-flies=1',
    '__proto__=1',
    '=1',
    'zip-files=1e9',
  ])('%s is refused', (text) => {
    expect(() => parseLimits([text])).toThrow(
      expect.objectContaining({ name: 'UserError', hint: expect.stringContaining(limitNames.join(', ')) }),
    )
  })
})
