import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'

const sections = new Set(
  [...readFileSync('docs/reference.md', 'utf8').matchAll(/^#{2,3} (\d+(?:\.\d+)?) /gm)].map(([, number]) => number),
)

/** The sections cited in comments, by file: "reference §6.4" or "(reference §6.3, §6.4)". */
const citations = ['src', 'scripts', 'test'].flatMap((folder) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && name !== 'reference.test.ts')
    .flatMap((name) =>
      [...readFileSync(join(folder, name), 'utf8').matchAll(/(\w+)[\s*]+§(\d+(?:\.\d+)?)|,\s+§(\d+(?:\.\d+)?)/g)].map(
        ([, word, first, further]) => ({ file: join(folder, name), word, section: first ?? further }),
      ),
    ),
)

describe('docs/reference.md', () => {
  it('is cited by the source', () => expect(citations.length).toBeGreaterThan(30))

  it('contains every cited section', () =>
    expect(citations.filter(({ section }) => !sections.has(section))).toEqual([]))

  it('is the only document cited with a section sign', () =>
    expect(citations.filter(({ word }) => word !== undefined && word !== 'reference')).toEqual([]))
})
