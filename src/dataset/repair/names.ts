/** Names of pairs that are valid everywhere: in archives, on every system, and for the hosted trainer. */
import { plain } from '../../platform/text.ts'

/** Without control characters and those that Windows refuses, without separators of folders, and not too long. */
export function safeName(name: string): string {
  const safe = plain(name.normalize('NFC'))
    .replace(/[<>:"/\\|?*\uFFFD]+/g, '_')
    .replace(/^[.\s]+/, '')
  const cut = firstBytes(safe, longestName).replace(/[.\s]+$/, '')
  return cut === '' ? 'pair' : cut
}

/** In bytes. File systems allow 255, of which the longest ending, `_start.webm`, takes 11, and a number after the name some. */
const longestName = 236

/** Without a character that the end would cut. */
const firstBytes = (text: string, count: number) =>
  new TextDecoder().decode(Buffer.from(text).subarray(0, count), { stream: true })

/** The name, or the name with a number where it is taken, also in another case. It is added to `taken`. */
export function uniqueName(name: string, taken: Set<string>): string {
  let unique = name
  for (let number = 2; taken.has(unique.toLowerCase()); number++) unique = `${name}-${number}`
  taken.add(unique.toLowerCase())
  return unique
}
