/** Drops a file of this machine on a page, as a hand does. */
import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import type { Page } from 'playwright-core'

/** @param zone a selector. */
export async function dropFile(page: Page, zone: string, path: string) {
  const bytes = readFileSync(path).toString('base64')
  const dataTransfer = await page.evaluateHandle(`(() => {
    const transfer = new DataTransfer()
    const bytes = Uint8Array.from(atob('${bytes}'), (character) => character.charCodeAt(0))
    transfer.items.add(new File([bytes], '${basename(path)}', { type: 'application/zip' }))
    return transfer
  })()`)
  await page.dispatchEvent(zone, 'drop', { dataTransfer })
}
