/** From dropping a zip to hearing what the LoRA does: the pages of a real server in a browser. Skipped without one (Debian: `apt install chromium`). */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, Locator, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { encodeWav } from '../../../src/audio/wav.ts'
import { tone } from '../../audio/signals.ts'
import { projectPath } from '../../cli/bin.ts'
import { needs } from '../../needs.ts'
import { chromiumPath, openBrowser } from '../../pages/browser.ts'
import { type Served, startServed } from '../served.ts'
import { dropFile } from './drop-file.ts'

const zip = projectPath('fixtures/zips/valid/ten-pairs.zip')
const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-journey-'))
const recording = { name: 'my take.wav', mimeType: 'audio/wav', buffer: Buffer.from(encodeWav(tone(1))) }
const long = { timeout: 60_000, interval: 100 }

/** So small that a step takes milliseconds. */
const settings = {
  ...{ audio_duration_seconds: '1', rank: '8', number_of_steps: '300', trigger_phrase: 'tonech4nge' },
  ...{ preview_interval: '150', preview_steps: '2', checkpoint_interval: '100' },
}

/** Fills in what may be folded. */
const fill = async (page: Page, values: Readonly<Record<string, string>>) => {
  await page.evaluate(`for (const details of document.querySelectorAll('details')) details.open = true`)
  for (const [name, value] of Object.entries(values)) await page.fill(`#${name}`, value)
}

/** The loudest sample of a player's file, as the browser decodes it. */
const loudest = async (audio: Locator): Promise<number> =>
  audio.page().evaluate(`(async () => {
    const bytes = await (await fetch('${await audio.getAttribute('src')}')).arrayBuffer()
    const sound = await new OfflineAudioContext(1, 1, 16000).decodeAudioData(bytes)
    return sound.getChannelData(0).reduce((peak, sample) => Math.max(peak, Math.abs(sample)), 0)
  })()`)

/** Plays it until some of it was heard. */
const hear = async (audio: Locator) => {
  const played = () => audio.evaluate<number, { currentTime: number }>(({ currentTime }) => currentTime)
  await audio.evaluate<void, { play(): Promise<void> }>((element) => element.play())
  await expect.poll(played, { timeout: 10_000 }).toBeGreaterThan(0.1)
}

const statusOf = (page: Page) => page.textContent('[data-part=status] .status')

/** 0 where it does not train. */
const stepOf = (page: Page): Promise<number> =>
  page.evaluate(`document.querySelector('progress[aria-label=Training]')?.value ?? 0`)

describe.skipIf(chromiumPath === undefined)('a visitor', needs('Chromium (apt install chromium)'), () => {
  let [server, browser] = [undefined, undefined] as unknown as [Served, Browser]
  beforeAll(async () => {
    const env = { ...process.env, LTX_A2A_CACHE: join(folder, 'cache'), LTX_A2A_KEY: undefined }
    ;[server, browser] = await Promise.all([startServed(join(folder, 'data'), env), openBrowser()])
  }, 60_000)
  afterAll(async () => {
    await browser?.close()
    await server?.stop()
    rmSync(folder, { recursive: true })
  })

  test('trains on a zip, hears a preview and a recording, cancels, resumes and trains again', async () => {
    const page = await browser.newPage()
    const problems: string[] = []
    page.on('console', (message) => message.type() === 'error' && problems.push(message.text()))
    page.on('pageerror', (error) => problems.push(String(error)))

    // the form
    await page.goto(server.url)
    await dropFile(page, '[data-field=training_data_url] .drop', zip)
    await fill(page, settings)
    await page.selectOption('#backend', 'wasm')
    await page.setInputFiles('[data-kind=previews] input[type=file]', recording)
    await expect
      .poll(() => page.textContent('[data-inspection] .headline'), long)
      .toBe('10 of 10 pairs would be used, in clips of 1 s.')
    await expect.poll(() => page.textContent('[data-kind=previews] .name')).toBe('my take.wav')
    await page.click('button:text("Start the training")')

    // the running request: nothing is loaded again
    await page.waitForURL(/\/requests\/[\da-f-]{36}#status$/)
    const training = page.url()
    await page.evaluate('window.isSamePage = true')
    const steps = new Set<number>() // beside a curve of the loss
    const charts = page.locator('[data-part=charts] svg.chart')
    await expect
      .poll(async () => {
        const step = await stepOf(page)
        if (step > 0 && (await charts.count()) > 0) steps.add(step)
        return statusOf(page)
      }, long)
      .toBe('finished')
    expect(steps.size).toBeGreaterThanOrEqual(2)
    expect(await page.textContent('pre')).toContain('Training')
    expect(await page.evaluate('window.isSamePage')).toBe(true)

    // the previews beside their reference
    const sounds = page.locator('[data-part=sounds] audio')
    const titles = await sounds.evaluateAll((all) => all.map((audio) => audio.getAttribute('aria-label')))
    expect(titles).toEqual(['reference', 'step 300', 'step 150', 'step 0: the base'])
    for (const audio of await sounds.all()) expect(await loudest(audio)).toBeGreaterThan(1e-3)
    await hear(sounds.nth(1))

    // the LoRA
    const downloaded = page.waitForEvent('download')
    await page.click('a:text("Download the LoRA")')
    const lora = readFileSync(await (await downloaded).path())
    expect(lora.subarray(8, 25).toString()).toBe('{"__metadata__":{')

    // the playground
    await page.click('a:text("Try it")')
    expect(await page.locator('#lora option:checked').textContent()).toContain('tonech4nge')
    await page.setInputFiles('input[type=file]', recording)
    await expect.poll(() => page.inputValue('#inputs')).toContain('my%20take.wav')
    await fill(page, { steps: '2' })
    await page.click('button:text("Transform")')
    const result = page.locator('[data-result-list] audio').nth(1)
    await expect.poll(() => result.count(), long).toBe(1)
    expect(await loudest(result)).toBeGreaterThan(1e-3)
    await hear(result)

    // the same settings again, with more steps: cancelled and resumed
    await page.goto(training)
    await page.click('a:text("Train again with these settings")')
    expect(await page.inputValue('#rank')).toBe('8')
    expect(await page.textContent('[data-kind=previews] .name')).toBe('my take.wav')
    await fill(page, { number_of_steps: '3000', preview_interval: '0' })
    await expect.poll(() => page.textContent('[data-inspection] .headline'), long).toContain('10 of 10 pairs')
    await page.click('button:text("Start the training")')
    await page.waitForURL((url) => /\/requests\/.*#status$/.test(url.href) && url.href !== training)
    await expect.poll(() => stepOf(page), long).toBeGreaterThan(10)
    await page.click('button:text("Cancel")')
    await expect.poll(() => statusOf(page), long).toBe('cancelled')
    await page.click('button:text("Resume")')
    await expect.poll(() => page.textContent('pre'), long).toMatch(/Resuming after step \d+/)
    await page.click('button:text("Cancel")')
    await expect.poll(() => statusOf(page), long).toBe('cancelled')
    expect(problems).toEqual([])
  }, 180_000)
})
