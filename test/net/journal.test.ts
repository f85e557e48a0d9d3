import { appendFileSync, mkdtempSync, readFileSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openJournal, readIdentity, startJournal } from '../../src/net/partial-file.ts'

const newPath = () => join(mkdtempSync(join(tmpdir(), 'ltx-a2a-journal-')), 'x.journal')
const identity = { version: '"etag"', result: 'abc' }
const range = (start: number, end: number) => ({ start, end, pieces: [] })

describe('a journal', () => {
  it('contains the finished ranges after it is reopened', () => {
    const path = newPath()
    const journal = startJournal(path, identity)
    journal.add(range(0, 10))
    journal.close()
    const again = openJournal(path)
    expect(again.isDone(range(0, 10))).toBe(true)
    expect(again.isDone(range(0, 11))).toBe(false)
    again.close()
    expect(readIdentity(path)).toEqual(identity)
  })

  it('ignores a truncated last line', () => {
    const path = newPath()
    const journal = startJournal(path, identity)
    journal.add(range(0, 10))
    journal.add(range(10, 20))
    journal.close()
    const { length } = readFileSync(path)
    truncateSync(path, length - 1)
    const again = openJournal(path)
    expect([again.isDone(range(0, 10)), again.isDone(range(10, 20))]).toEqual([true, false])
    again.add(range(20, 30))
    again.close()
    const third = openJournal(path)
    expect([range(0, 10), range(10, 20), range(20, 30)].map(third.isDone)).toEqual([true, false, true])
    third.close()
  })

  it('ignores a corrupt line', () => {
    const path = newPath()
    startJournal(path, identity).close()
    appendFileSync(path, '\0\0\0\n{"done":[0,5]}\n')
    const journal = openJournal(path)
    expect(journal.isDone(range(0, 5))).toBe(true)
    journal.close()
  })

  it('has no identity when the file is missing or its first line has none', () => {
    const path = newPath()
    expect(readIdentity(path)).toBeUndefined()
    appendFileSync(path, '{"done":[0,5]}\n')
    expect(readIdentity(path)).toBeUndefined()
  })
})
