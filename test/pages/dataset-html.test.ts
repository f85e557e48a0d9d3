/** `inspect-dataset --html`. */
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { encodeWav } from '../../src/audio/wav.ts'
import { datasetOptionsOf, inspectSource } from '../../src/dataset/dataset.ts'
import { openSource } from '../../src/dataset/source.ts'
import { openOutputFile } from '../../src/platform/output-file.ts'
import { writeDatasetPage } from '../../src/report/dataset-page.ts'
import { tone } from '../audio/signals.ts'
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

describe('inspect-dataset --html writes the page and exits with 2', () => {
  const inspected = async (dataset: string, ...flags: string[]) => {
    const page = join(mkdtempSync(join(folder, 'page-')), 'dataset.html')
    const { code, stderr } = await ltxA2a(['inspect-dataset', dataset, '--html', page, ...flags])
    return { code, stderr, page: readFileSync(page, 'utf8') }
  }
  const datasetOf = (files: Record<string, Uint8Array | string>) => {
    const path = mkdtempSync(join(folder, 'dataset-'))
    for (const [name, content] of Object.entries(files)) writeFileSync(join(path, name), content)
    return path
  }
  const sound = encodeWav(tone(1))

  test('where no pair fits', async () => {
    const { code, stderr, page } = await inspected(projectPath('fixtures/demo/pairs.zip'))
    expect([code, stderr]).toEqual([2, expect.stringContaining('no pair has 5 s on both sides')])
    expect(page).toContain('0 of 30 pairs used with clips of 5 s')
    expect(page.match(/<audio/g)).toHaveLength(2 * 24) // the largest number of pairs with players
  })

  test('where there is no pair at all', async () => {
    const { code, stderr, page } = await inspected(datasetOf({ 'readme.txt': 'nothing', 'a_start.wav': sound }))
    expect([code, stderr]).toEqual([2, expect.stringContaining('there is no pair')])
    expect(page).toContain('there is no pair')
    expect(page).not.toContain('<table>')
  })

  test('where one recording cannot be read', async () => {
    const files = { 'a_start.wav': sound, 'a_end.wav': sound, 'b_start.wav': 'broken', 'b_end.wav': sound }
    const { code, stderr, page } = await inspected(datasetOf(files), '--audio-duration-seconds', '1')
    expect([code, stderr]).toEqual([2, expect.stringContaining('b_start.wav has only 6 bytes')])
    expect(page).toContain('b_start.wav has only 6 bytes')
    expect(page.match(/<audio/g)).toHaveLength(2)
  })

  test('where no recording can be read', async () => {
    const { code, stderr, page } = await inspected(datasetOf({ 'a_start.wav': 'broken', 'a_end.wav': 'broken' }))
    expect([code, stderr]).toEqual([2, expect.stringContaining('has 2 errors')])
    expect(page).toContain('a_end.wav has only 6 bytes')
  })
})

test('inspect-dataset --html writes no page of a dataset that cannot be opened', async () => {
  const page = join(folder, 'none.html')
  const { code } = await ltxA2a(['inspect-dataset', join(folder, 'missing.zip'), '--html', page])
  expect([code, existsSync(page)]).toEqual([2, false])
})

test('inspect-dataset --html does not replace the dataset or a recording in it', async () => {
  const path = mkdtempSync(join(folder, 'mine-'))
  const sound = encodeWav(tone(1))
  for (const name of ['a_start.wav', 'a_end.wav']) writeFileSync(join(path, name), sound)
  const zip = join(folder, 'copy.zip')
  copyFileSync(projectPath('fixtures/zips/valid/ten-pairs.zip'), zip)
  for (const [dataset, page] of [
    [path, join(path, 'a_end.wav')],
    [zip, zip],
  ] as const) {
    const before = readFileSync(page)
    const { code, stderr } = await ltxA2a(['inspect-dataset', dataset, '--html', page])
    expect([code, stderr]).toEqual([2, expect.stringContaining('is an input of this command')])
    expect(readFileSync(page).equals(before)).toBe(true)
  }
})

test('a recording that cannot be decoded for its player does not lose the page', async () => {
  const path = mkdtempSync(join(folder, 'vanishing-'))
  for (const name of ['a_start.wav', 'a_end.wav']) writeFileSync(join(path, name), encodeWav(tone(1)))
  const source = await openSource(path)
  const settings = {
    triggerPhrase: '',
    audioDurationSeconds: 1,
    audioPreservePitch: true,
    audioNormalize: true,
    windows: 'first',
  } as const
  const dataset = await inspectSource(source, datasetOptionsOf(settings), { analyzeSound: true })
  writeFileSync(join(path, 'a_end.wav'), 'broken since then, but long enough to have a header')
  const page = join(path, 'page.html')
  await writeDatasetPage(openOutputFile(page, { inputs: [], marker: '' }), dataset, source)
  const text = readFileSync(page, 'utf8')
  expect(text.match(/<audio/g)).toHaveLength(1)
  expect(text).toContain('It cannot be played: a_end.wav cannot be read')
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
