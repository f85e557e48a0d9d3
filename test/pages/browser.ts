/** Opens pages in an installed Chromium. */
import { existsSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { type Browser, chromium, type Page } from 'playwright-core'

const paths = [process.env.CHROMIUM_PATH, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']

/** Undefined if Chromium is not installed (Debian: `apt install chromium`). */
export const chromiumPath = paths.find((path) => path !== undefined && existsSync(path))

export const openBrowser = (): Promise<Browser> =>
  chromium.launch({
    executablePath: chromiumPath as string,
    args: ['--no-sandbox', '--autoplay-policy=no-user-gesture-required'],
  })

export type Opened = {
  page: Page
  /** Console errors, console warnings and uncaught errors. */
  problems: string[]
  /** Requests other than the page itself and data URLs. */
  requests: string[]
}

/** Opens a file. Network requests are recorded, not blocked. */
export async function openPage(
  browser: Browser,
  path: string,
  { width = 1280, colorScheme = 'light' as 'light' | 'dark' } = {},
): Promise<Opened> {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme })
  const page = await context.newPage()
  const url = pathToFileURL(path).href
  const [problems, requests]: [string[], string[]] = [[], []]
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) problems.push(message.text())
  })
  page.on('pageerror', (error) => problems.push(String(error)))
  page.on('request', (request) => {
    if (request.url() !== url && !request.url().startsWith('data:')) requests.push(request.url())
  })
  await page.goto(url)
  return { page, problems, requests }
}

/** The duration in seconds of each audio player, after its metadata are loaded. */
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

/** The horizontal overflow of the page in pixels; 0 without horizontal scrolling. */
export const overflow = (page: Page): Promise<number> =>
  page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')

/** The smallest font size on the page in pixels; text in SVG images is scaled with the image. */
export const smallestText = (page: Page): Promise<number> =>
  page.evaluate(`Math.min(...[...document.querySelectorAll('main *')].flatMap((element) => {
    if (![...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())) return []
    const svg = element.closest('svg')
    const scale = svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1
    return [parseFloat(getComputedStyle(element).fontSize) * scale]
  }))`)

/** Texts whose contrast is below that of WCAG AA, with their contrast. Those of controls that are off, and of pictures, need none. */
export const lowContrasts = (page: Page): Promise<string[]> =>
  page.evaluate(`(() => {
    const parts = (color) => { const [r, g, b, a = 1] = color.match(/[\\d.]+/g).map(Number); return { rgb: [r, g, b], a } }
    const luminance = (rgb) => {
      const [r, g, b] = rgb.map((part) => part / 255).map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
      return 0.2126 * r + 0.7152 * g + 0.0722 * b
    }
    const over = ({ rgb, a }, below) => rgb.map((part, i) => a * part + (1 - a) * below[i])
    const backgroundOf = (element) => {
      const own = parts(getComputedStyle(element).backgroundColor)
      if (own.a === 1) return own.rgb
      return over(own, element.parentElement ? backgroundOf(element.parentElement) : [255, 255, 255])
    }
    return [...document.querySelectorAll('body *')].flatMap((element) => {
      const isText = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())
      if (!(isText || element.matches('input, textarea, select')) || element.closest('svg, noscript, template, :disabled') || !element.checkVisibility()) return []
      const style = getComputedStyle(element)
      const background = backgroundOf(element)
      const [dark, light] = [luminance(over(parts(style.color), background)), luminance(background)].sort((a, b) => a - b)
      const contrast = (light + 0.05) / (dark + 0.05)
      const isLarge = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700)
      return contrast < (isLarge ? 3 : 4.5) ? [contrast.toFixed(2) + ' ' + element.outerHTML.slice(0, 120)] : []
    })
  })()`)

const controls = 'button|checkbox|combobox|link|progressbar|radio|slider|spinbutton|textbox'

/** The controls of the accessibility tree that have no name. */
export async function namelessControls(page: Page): Promise<string[]> {
  const tree = await page.locator('body').ariaSnapshot()
  return tree.split('\n').filter((line) => new RegExp(`^\\s*- (?:${controls})(?![^:]*")`).test(line))
}

/** The brightness of text and background, 0 to 765. */
export async function brightness(page: Page): Promise<{ text: number; background: number }> {
  const colors: string[] = await page.evaluate(
    '(({ color, backgroundColor }) => [color, backgroundColor])(getComputedStyle(document.body))',
  )
  const [text = 0, background = 0] = colors.map((color) =>
    (color.match(/\d+/g) ?? []).slice(0, 3).reduce((sum, part) => sum + Number(part), 0),
  )
  return { text, background }
}
