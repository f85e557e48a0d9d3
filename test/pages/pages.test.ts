/** Pages opened in a browser. These tests are skipped without one (Debian: `apt install chromium`). */
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { compressAudio } from '../../src/audio/compress.ts'
import { datasetPage, maxPlayers, pairsWithPlayers } from '../../src/report/dataset-page.ts'
import { pageSound } from '../../src/report/page/player.ts'
import { runPage } from '../../src/report/run-page.ts'
import { tone } from '../audio/signals.ts'
import { needs } from '../needs.ts'
import { brightness, chromiumPath, durations, openBrowser, openPage, overflow, smallestText } from './browser.ts'
import { clipSeconds, dataset, largeRun } from './run.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-test-'))
const [runFile, datasetFile] = [join(folder, 'report.html'), join(folder, 'dataset.html')]
let browser: Browser

afterAll(() => rmSync(folder, { recursive: true }))

beforeAll(async () => {
  writeFileSync(runFile, runPage(await largeRun()))
  const waveform = tone(clipSeconds)
  const sound = pageSound(waveform, await compressAudio(waveform, 64))
  const sounds = new Map(pairsWithPlayers(dataset).map(({ name }) => [name, { reference: sound, target: sound }]))
  writeFileSync(datasetFile, datasetPage(dataset, sounds))
})

test('the report of 2000 steps on 20 pairs is smaller than 5 MB', () => {
  expect(statSync(runFile).size).toBeLessThan(5e6)
})

test('a page of hundreds of pairs has at most maxPlayers players, including the pairs with findings', () => {
  const [pair] = dataset.pairs
  const many = Array.from({ length: 600 }, (_, i) => ({
    ...(pair as (typeof dataset.pairs)[number]),
    name: `pair-${i + 1}`,
  }))
  const findings = [
    { kind: 'out-of-sync', severity: 'warning', what: '', hint: '', pairs: [{ name: 'pair-555' }] },
  ] as const
  const withPlayers = pairsWithPlayers({
    ...dataset,
    pairs: many,
    advice: { ...(dataset.advice as object), findings } as never,
  })
  expect([withPlayers.length, withPlayers[0]?.name, withPlayers.at(-1)?.name]).toEqual([
    maxPlayers,
    'pair-1',
    'pair-555',
  ])
})

describe.skipIf(chromiumPath === undefined)('in a browser', needs('Chromium (apt install chromium)'), () => {
  beforeAll(async () => {
    browser = await openBrowser()
  })
  afterAll(() => browser?.close())

  const pages: [name: string, path: string, players: number][] = [
    ['the report of a run', runFile, 2 * (1 + 9) + 3 * 2],
    ['the page of a dataset', datasetFile, 2 * 20],
  ]
  const layouts = [
    { width: 1280, colorScheme: 'light' },
    { width: 1280, colorScheme: 'dark' },
    { width: 400, colorScheme: 'light' },
    { width: 400, colorScheme: 'dark' },
  ] as const

  describe.each(pages)('%s', (_, path, players) => {
    test.each(layouts)('has no errors, requests, overflow or tiny text at $width px, $colorScheme', async (layout) => {
      const { page, problems, requests } = await openPage(browser, path, layout)
      expect(await durations(page)).toEqual(Array(players).fill(expect.closeTo(clipSeconds, 1)))
      expect([problems, requests]).toEqual([[], []])
      expect(await overflow(page)).toBe(0)
      expect(await smallestText(page)).toBeGreaterThanOrEqual(10)
      const { text, background } = await brightness(page)
      expect(text > background).toBe(layout.colorScheme === 'dark')
      await page.context().close()
    })

    test('shows its images and does not execute markup in the data', async () => {
      const { page } = await openPage(browser, path)
      expect(await page.$$eval('img', (images) => images.filter(({ naturalWidth }) => naturalWidth === 0).length)).toBe(
        0,
      )
      expect(await page.$$eval('main script', (scripts) => scripts.length)).toBe(0)
      await page.context().close()
    })

    test('plays one sound at a time, from the clicked position of its image', async () => {
      const { page, problems } = await openPage(browser, path)
      await durations(page)
      const pictures = await page.$$('.picture')
      await pictures[0]?.click({ position: { x: 10, y: 10 } })
      const box = await pictures[1]?.boundingBox()
      await pictures[1]?.click({ position: { x: (box?.width ?? 0) / 2, y: 10 } })
      const playing = () => page.$$eval('audio', (all) => all.flatMap(({ paused }, i) => (paused ? [] : [i])))
      await expect.poll(playing).toEqual([1])
      const position = await page.$$eval('audio', (all) => all[1]?.currentTime ?? 0)
      expect(Math.abs(position - clipSeconds / 2)).toBeLessThan(1)
      await expect.poll(() => page.evaluate(`document.querySelectorAll('.picture i')[1].style.opacity`)).toBe('1')
      expect(problems).toEqual([])
      await page.context().close()
    })
  })

  test('shows captions with special characters unchanged', async () => {
    const { page } = await openPage(browser, datasetFile)
    expect(await page.textContent('tbody tr:first-child td:last-child')).toBe(dataset.pairs[0]?.caption)
  })
})
