/** Names of pairs that are valid everywhere: in archives, on every system, and for the hosted trainer. */
import { plain } from '../../platform/text.ts'

/** Without control characters and those that Windows refuses, and without separators of folders. */
export function safeName(name: string): string {
  const safe = plain(name.normalize('NFC'))
    .replace(/[<>:"/\\|?*\uFFFD]+/g, '_')
    .replace(/^[.\s]+|[.\s]+$/g, '')
  return safe === '' ? 'pair' : safe
}

/** The name, or the name with a number where it is taken, also in another case. It is added to `taken`. */
export function uniqueName(name: string, taken: Set<string>): string {
  let unique = name
  for (let number = 2; taken.has(unique.toLowerCase()); number++) unique = `${name}-${number}`
  taken.add(unique.toLowerCase())
  return unique
}
