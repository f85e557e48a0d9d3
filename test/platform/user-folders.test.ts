import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { writeObstacle } from '../../src/platform/user-folders.ts'
import { needs } from '../needs.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-test-'))
afterAll(() => rmSync(folder, { recursive: true }))

it('a folder that does not exist can be written to if its parent can, and is not created', () => {
  expect(writeObstacle(join(folder, 'a', 'b'))).toBeUndefined()
  expect(existsSync(join(folder, 'a'))).toBe(false)
})

it('a file, and a folder below it, cannot be written to', () => {
  const file = join(folder, 'file')
  writeFileSync(file, '')
  for (const path of [file, join(file, 'a', 'b')]) expect(writeObstacle(path)).toBe(`${file} is a file`)
})

it.skipIf(process.getuid?.() === 0 || process.platform === 'win32')(
  'a folder without the permission to write is named',
  needs('a user who is not root'),
  () => {
    const closed = join(folder, 'closed')
    mkdirSync(closed)
    chmodSync(closed, 0o555)
    expect(writeObstacle(join(closed, 'a'))).toBe(`there is no permission to write to ${closed}`)
  },
)
