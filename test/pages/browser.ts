/** A real browser, where there is one: pages are opened in it as a reader would open them. */
import { existsSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { type Browser, chromium, type Page } from 'playwright-core'

const paths = [process.env.CHROMIUM_PATH, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']

/** Undefined where none is installed (Debian: `apt install chromium`). */
export const chromiumPath = paths.find((path) => path !== undefined && existsSync(path))

export const openBrowser = (): Promise<Browser> =>
  chromium.launch({
    executablePath: chromiumPath as string,
    args: ['--no-sandbox', '--autoplay-policy=no-user-gesture-required'],
  })

export type Opened = {
  page: Page
  /** Everything the page complained about. */
  complaints: string[]
  /** Every request that is not the page itself or data inside it. */
  requests: string[]
}

/** Opens a file. The network is watched, not blocked: a request is a failure of the page. */
export async function openPage(
  browser: Browser,
  path: string,
  { width = 1280, colorScheme = 'light' as 'light' | 'dark' } = {},
): Promise<Opened> {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme })
  const page = await context.newPage()
  const url = pathToFileURL(path).href
  const [complaints, requests]: [string[], string[]] = [[], []]
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(String(error)))
  page.on('request', (request) => {
    if (request.url() !== url && !request.url().startsWith('data:')) requests.push(request.url())
  })
  await page.goto(url)
  return { page, complaints, requests }
}

/** Seconds of every player, once each has read its own beginning. */
export const durations = (page: Page): Promise<number[]> =>
  page.$$eval('audio', (players) =>
    Promise.all(
      players.map(
        (player) =>
          new Promise<number>((resolve) => {
            if (player.readyState > 0) return resolve(player.duration)
            player.addEventListener('loadedmetadata', () => resolve(player.duration))
            player.addEventListener('error', () => resolve(Number.NaN))
            player.load()
          }),
      ),
    ),
  )

/** How far the page reaches beyond its window to the right; 0 is readable without scrolling. */
export const overflow = (page: Page): Promise<number> =>
  page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')

/** The smallest text on the screen in pixels; text in pictures is scaled with them. */
export const smallestText = (page: Page): Promise<number> =>
  page.evaluate(`Math.min(...[...document.querySelectorAll('main *')].flatMap((element) => {
    if (![...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())) return []
    const svg = element.closest('svg')
    const scale = svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1
    return [parseFloat(getComputedStyle(element).fontSize) * scale]
  }))`)

/** Of what is written and of what it is written on, 0 to 765. */
export async function brightness(page: Page): Promise<{ ink: number; paper: number }> {
  const colors: string[] = await page.evaluate(
    '(({ color, backgroundColor }) => [color, backgroundColor])(getComputedStyle(document.body))',
  )
  const [ink = 0, paper = 0] = colors.map((color) =>
    (color.match(/\d+/g) ?? []).slice(0, 3).reduce((sum, part) => sum + Number(part), 0),
  )
  return { ink, paper }
}
