import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { openSource } from '../../src/dataset/source.ts'
import { createZip } from '../../src/dataset/zip-writer.ts'

const root = mkdtempSync(join(tmpdir(), 'ltx-test-'))
afterAll(() => rmSync(root, { recursive: true }))

const file = join(root, 'a.txt')
writeFileSync(file, 'text')

test('a file that cannot be opened is not added, and others are', async () => {
  const path = join(root, 'some.zip')
  const zip = createZip(path)
  await expect(zip.addFile('gone.txt', join(root, 'gone.txt'))).rejects.toMatchObject({ code: 'ENOENT' })
  await zip.addFile('a.txt', file)
  await zip.finish()
  await zip.close()
  const source = await openSource(path)
  expect(source.paths).toEqual(['a.txt'])
  await source.close()
})

test('an aborted signal stops the writing', async () => {
  const controller = new AbortController()
  const zip = createZip(join(root, 'stopped.zip'), controller.signal)
  await zip.addFile('a.txt', file)
  controller.abort()
  await expect(zip.addFile('b.txt', file)).rejects.toMatchObject({ name: 'Interrupted' })
  await expect(zip.finish()).rejects.toMatchObject({ name: 'Interrupted' })
  await zip.close()
  expect(existsSync(join(root, 'stopped.zip'))).toBe(true) // its caller removes it
})
