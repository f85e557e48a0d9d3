/** `inspect-dataset --html`. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { ltxA2a, projectPath } from '../cli/bin.ts'
import { needs } from '../needs.ts'
import { chromiumPath, durations, openBrowser, openPage } from './browser.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-test-'))
const path = join(folder, 'pages', 'dataset.html')
afterAll(() => rmSync(folder, { recursive: true }))

test('inspect-dataset --html writes a page and prints its path', async () => {
  const zip = projectPath('fixtures/zips/valid/ten-pairs.zip')
  const args = ['inspect-dataset', zip, '--audio-duration-seconds', '1', '--html', path]
  const { code, stdout, stderr } = await ltxA2a(args)
  expect([code, stderr.trim().split('\n').at(-1)]).toEqual([0, `Page: ${path}`])
  expect(stdout).toContain('ten-pairs: 10 of 10 pairs used')
  expect(readFileSync(path, 'utf8').match(/<audio/g)).toHaveLength(20)
})

test.skipIf(chromiumPath === undefined)(
  'the page plays every recording without errors or network requests',
  needs('Chromium (apt install chromium)'),
  async () => {
    const browser = await openBrowser()
    const { page, problems, requests } = await openPage(browser, path)
    expect(await durations(page)).toEqual(Array(20).fill(expect.closeTo(1, 2)))
    expect([problems, requests]).toEqual([[], []])
    await browser.close()
  },
)
