/** The pages in a browser. Skipped without one (Debian: `apt install chromium`). */
import { join } from 'node:path'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { encodeWav } from '../../../src/audio/wav.ts'
import { tone } from '../../audio/signals.ts'
import { projectPath } from '../../cli/bin.ts'
import { needs } from '../../needs.ts'
import {
  brightness,
  chromiumPath,
  lowContrasts,
  namelessControls,
  openBrowser,
  overflow,
  smallestText,
} from '../../pages/browser.ts'
import { dropFile } from './drop-file.ts'
import { line } from './fake-queue.ts'
import { listen, type PageServer, pageServer } from './page-server.ts'

const zip = projectPath('fixtures/zips/valid/ten-pairs.zip')
const shots = process.env.LTX_A2A_SCREENSHOTS
let browser: Browser
let [server, listening] = [undefined, undefined] as unknown as [PageServer, Awaited<ReturnType<typeof listen>>]

async function open(path: string, options: BrowserContextOptions = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options })
  const page = await context.newPage()
  const problems: string[] = []
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) problems.push(message.text())
  })
  page.on('pageerror', (error) => problems.push(String(error)))
  page.on('request', (request) => {
    if (!request.url().startsWith(`${listening.url}/`)) problems.push(`requests ${request.url()}`)
  })
  await page.goto(listening.url + path)
  return { page, problems }
}

const shot = async (page: Page, name: string) => {
  if (shots !== undefined) await page.screenshot({ path: join(shots, `${name}.png`), fullPage: true })
}

/** A training that runs, with two previews. */
function running() {
  const { id } = server.queue.add({
    ...{
      status: 'IN_PROGRESS',
      startedAt: new Date(),
      progress: { stage: 'Training', done: 120, total: 400, loss: 0.61 },
    },
    input: { training_data_url: `${listening.url}/files/uploads/1/pairs.zip`, trigger_phrase: 'as on vinyl', rank: 16 },
    parameters: {
      ...{ training_data_url: 'server-file:uploads/1/pairs.zip', trigger_phrase: 'as on vinyl', number_of_steps: 400 },
      validation: [{ prompt: 'as on vinyl', reference_audio_url: 'server-file:uploads/2/take.wav' }],
    },
  })
  const steps = Array.from({ length: 120 }, (_, i) =>
    JSON.stringify({
      step: i + 1,
      loss: 0.6 + 0.3 / (1 + i / 20),
      learning_rate: 2e-4,
      seconds: 1,
      sigmas: [(i % 10) / 10],
    }),
  )
  server.put(`runs/${id}/metrics.jsonl`, `${steps.join('\n')}\n`)
  server.put(`runs/${id}/config.json`, '{}')
  server.put('uploads/2/take.wav', encodeWav(tone(1)))
  for (const step of ['00000', '00100']) server.put(`runs/${id}/previews/preview-1-${step}.wav`, encodeWav(tone(1)))
  server.queue.lines.set(id, [line('Training: 1 of 400'), line('the zip has a file that is not used', 'WARN')])
  return id
}

/** A training that finished. */
function finished() {
  const { id } = server.queue.add({
    ...{ status: 'COMPLETED', startedAt: new Date(0), completedAt: new Date(9e6), workedSeconds: 754, output: {} },
    ...{ input: { trigger_phrase: 'like a telephone' }, parameters: { trigger_phrase: 'like a telephone' } },
    progress: { stage: 'Training', done: 2000, total: 2000, loss: 0.512 },
  })
  server.put(`runs/${id}/lora.safetensors`, 'lora')
  server.put(`runs/${id}/report.html`, '<p>report</p>')
  return id
}

describe.skipIf(chromiumPath === undefined)('in a browser', needs('Chromium (apt install chromium)'), () => {
  beforeAll(async () => {
    browser = await openBrowser()
    server = pageServer()
    listening = await listen(server)
  })
  afterAll(async () => {
    await browser?.close()
    await listening?.close()
    server?.remove()
  })

  test('a zip is dropped, inspected, and trained on', async () => {
    const { page, problems } = await open('/')
    await dropFile(page, '[data-field=training_data_url] .drop', zip)
    await page.fill('#audio_duration_seconds', '1')
    await expect
      .poll(() => page.textContent('[data-inspection] > p'), { timeout: 20_000 })
      .toContain('10 of 10 pairs would be used')
    expect(await page.textContent('[data-inspection]')).toContain('What a training would use')
    await shot(page, 'form')
    await page.fill('#rank', '2000')
    await page.click('button.primary')
    await expect.poll(() => page.textContent('#rank-error')).toContain('less than or equal to 1024')
    expect(await page.evaluate('document.activeElement.id')).toBe('rank')
    await page.fill('#rank', '16')
    await page.fill('#trigger_phrase', 'as <b>vinyl</b>')
    await page.click('button.primary')
    await page.waitForURL(/\/requests\/[\da-f-]{36}#status$/)
    expect(await page.textContent('h1')).toBe('as <b>vinyl</b>')
    expect(server.queue.requests[0]?.input).toEqual({
      training_data_url: expect.stringMatching(/^http:.*ten-pairs\.zip$/),
      ...{ trigger_phrase: 'as <b>vinyl</b>', audio_duration_seconds: 1, rank: 16 },
      ...{ preview_cfg: 1, stg_scale: 0 }, // for the bundled base
    })
    expect(problems.filter((problem) => !problem.includes('422'))).toEqual([])
    await page.context().close()
  })

  test('an error in a folded group unfolds it', async () => {
    const { page } = await open('/')
    await page.fill('#training_data_url', 'https://example.com/pairs.zip')
    await page.evaluate(`document.querySelector('#alpha').value = 5000`)
    await page.click('button.primary')
    await expect.poll(() => page.textContent('#alpha-error')).toBe('Too large')
    expect(await page.isVisible('#alpha')).toBe(true)
    await page.context().close()
  })

  test('a running request shows its progress, and what comes next', async () => {
    const id = running()
    const { page, problems } = await open(`/requests/${id}`)
    expect(await page.getAttribute('progress', 'value')).toBe('120')
    expect(await page.locator('svg.chart').count()).toBeGreaterThan(1)
    expect(await page.locator('audio').count()).toBe(3)
    await shot(page, 'running')
    const request = server.queue.requests.find((one) => one.id === id)
    Object.assign(request ?? {}, { progress: { stage: 'Training', done: 121, total: 400, loss: 0.6 } })
    server.queue.lines.get(id)?.push(line('Training: 121 of 400'))
    await expect.poll(() => page.getAttribute('progress', 'value'), { timeout: 10_000 }).toBe('121')
    expect(await page.textContent('pre')).toContain('Training: 121 of 400')
    await page.click('button:text("Cancel")')
    await expect.poll(() => page.textContent('.status')).toBe('cancelling')
    server.put(`runs/${id}/state.json`, '{}')
    server.put(`runs/${id}/state.safetensors`, 'state')
    Object.assign(request ?? {}, { status: 'COMPLETED', error: { status: 499, detail: 'cancelled' } })
    await expect.poll(() => page.textContent('.status'), { timeout: 10_000 }).toBe('cancelled')
    await page.click('button:text("Resume")')
    await expect.poll(() => page.textContent('.status')).toBe('waiting')
    expect(problems).toEqual([])
    await page.context().close()
  })

  test('the playground transforms a recording with a trained LoRA', async () => {
    const training = finished()
    const { page, problems } = await open('/play')
    await page.setInputFiles('input[type=file]', {
      name: 'my take.wav',
      mimeType: 'audio/wav',
      buffer: Buffer.from(encodeWav(tone(1))),
    })
    await expect.poll(() => page.inputValue('#inputs')).toContain('my%20take.wav')
    await page.fill('#lora_strength', '0.8')
    await page.click('button.primary')
    await expect.poll(() => server.queue.requests[0]?.kind).toBe('apply')
    const request = server.queue.requests[0]
    expect(request?.parameters).toEqual({
      ...{ lora: [`server-file:runs/${training}/lora.safetensors`], lora_strength: [0.8], cfg: 1, stg_scale: 0 },
      inputs: [expect.stringMatching(/^server-file:uploads\/.*\/my take\.wav$/)],
    })
    server.put(`runs/${request?.id}/my take.wav`, encodeWav(tone(1)))
    Object.assign(request ?? {}, { status: 'COMPLETED', output: {} })
    await expect.poll(() => page.locator('[data-result-list] audio').count(), { timeout: 10_000 }).toBe(2)
    await shot(page, 'play')
    expect(problems).toEqual([])
    await page.context().close()
  })

  test('the form is filled in and sent with the keyboard alone', async () => {
    const { page } = await open('/')
    const focused = () =>
      page.evaluate('document.activeElement.id || document.activeElement.textContent') as Promise<string>
    const tabTo = async (id: string) => {
      for (let i = 0; i < 80 && (await focused()) !== id; i++) await page.keyboard.press('Tab')
      expect(await focused()).toBe(id)
    }
    await tabTo('training_data_url')
    await page.keyboard.type('https://example.com/pairs.zip')
    await tabTo('trigger_phrase')
    await page.keyboard.type('by keyboard')
    await tabTo('Start the training')
    await page.keyboard.press('Enter')
    await page.waitForURL(/\/requests\//)
    expect(await page.textContent('h1')).toBe('by keyboard')
    await page.context().close()
  })

  test('the inspection that is shown is that of the chosen file, and errors stop the form', async () => {
    const { page } = await open('/')
    await dropFile(page, '[data-field=training_data_url] .drop', zip)
    await page.fill('#audio_duration_seconds', '1')
    const headline = () => page.textContent('[data-inspection] .headline')
    await expect.poll(headline, { timeout: 20_000 }).toContain('10 of 10 pairs')
    await page.setViewportSize({ width: 400, height: 900 })
    await page.click('summary:text("All pairs")')
    await shot(page, 'inspection-400')
    expect(await page.evaluate(`document.querySelector('[data-inspection] table').scrollWidth`)).toBeLessThan(400)
    await dropFile(page, '[data-field=training_data_url] .drop', projectPath('package.json'))
    await expect.poll(headline, { timeout: 20_000 }).toContain('Not inspected: package.json')
    expect(await page.textContent('[data-inspection]')).not.toContain('What a training would use')
    const count = server.queue.requests.length
    await page.click('button.primary')
    await expect.poll(() => page.textContent('[data-form-error]')).toContain('The dataset cannot be used')
    expect(server.queue.requests.length).toBe(count)
    await page.context().close()
  })

  test('times are those of the reader', async () => {
    const id = finished()
    const { page } = await open(`/requests/${id}`, { timezoneId: 'Asia/Tokyo' })
    expect(await page.textContent('header time')).toBe('2026-05-01 19:00')
    await page.context().close()
    const plain = await open(`/requests/${id}`, { timezoneId: 'Asia/Tokyo', javaScriptEnabled: false })
    expect(await plain.page.textContent('header time')).toBe('2026-05-01 10:00 UTC')
    await plain.page.context().close()
  })

  test('a request is deleted without a script, after a question', async () => {
    const id = finished()
    const { page } = await open(`/requests/${id}`, { javaScriptEnabled: false })
    await page.click('a:text("Delete …")')
    expect(await page.textContent('main')).toContain('This cannot be undone')
    await page.click('button:text("Delete")')
    expect(new URL(page.url()).pathname).toBe('/requests')
    expect(server.queue.requests.some((request) => request.id === id)).toBe(false)
    await page.context().close()
  })

  const paths: [name: string, path: () => string][] = [
    ['form', () => '/'],
    ['requests', () => '/requests'],
    ['request', () => `/requests/${running()}`],
    ['finished', () => `/requests/${finished()}`],
    ['delete', () => `/requests/${finished()}/delete`],
    ['play', () => `/play?lora=${finished()}`],
  ]
  describe.each(paths)('the page %s', (name, path) => {
    test.each([
      [1280, 'light'],
      [1280, 'dark'],
      [400, 'light'],
      [400, 'dark'],
    ] as const)('has no errors, overflow or tiny text at %d px, %s', async (width, colorScheme) => {
      const { page, problems } = await open(path(), { viewport: { width, height: 900 }, colorScheme })
      await page.evaluate(`for (const details of document.querySelectorAll('details')) details.open = true`)
      await page.waitForLoadState('networkidle')
      await shot(page, `${name}-${width}-${colorScheme}`)
      expect(await overflow(page)).toBe(0)
      expect(await smallestText(page)).toBeGreaterThanOrEqual(10)
      expect(await lowContrasts(page)).toEqual([])
      expect(await namelessControls(page)).toEqual([])
      const { text, background } = await brightness(page)
      expect(text > background).toBe(colorScheme === 'dark')
      expect(problems).toEqual([])
      await page.context().close()
    })
  })
})
