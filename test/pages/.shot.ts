import { durations, openBrowser, openPage, overflow } from '/work/main/test/pages/browser.ts'

const [file, out] = process.argv.slice(2)
const b = await openBrowser()
for (const width of [1280, 400])
  for (const colorScheme of ['light', 'dark'] as const) {
    const { page, complaints, requests } = await openPage(b, file!, { width, colorScheme })
    console.log(
      width,
      colorScheme,
      complaints,
      requests,
      (await durations(page))
        .slice(0, 40)
        .map((d) => d.toFixed(2))
        .join(' '),
      'overflow',
      await overflow(page),
    )
    await page.waitForTimeout(300)
    await page.screenshot({
      path: `${out}-${width}-${colorScheme}.png`,
      fullPage: true,
      clip: undefined,
    })
  }
await b.close()
