/** Captions: the text of a caption file, and the caption that a clip is trained with. */
import { UserError } from '../platform/errors.ts'
import { sum } from '../platform/statistics.ts'
import { decodeText } from '../platform/text.ts'

/**
 * The text of a caption file, without a byte order mark and surrounding white space. Files in UTF-16 are read as well, without a byte order mark only
 * where the bytes leave no doubt.
 * @param name what the file is called in messages.
 * @throws UserError when the file is in another encoding or contains control characters other than white space.
 */
export function decodeCaption(bytes: Uint8Array, name: string): string {
  const encoding = utf16Encoding(bytes)
  if (encoding) return checkedText(decodeText(bytes, encoding), name).trim()
  const text = decodeText(bytes)
  const guessed = text === undefined || controlCharacter.test(text) ? guessUtf16(bytes) : undefined
  return checkedText(guessed ?? text, name).trim() // which removes the byte order mark, too
}

function checkedText(text: string | undefined, name: string): string {
  if (text === undefined) throw new UserError(`${name} is not UTF-8 text`, { hint: 'save it with encoding UTF-8' })
  const [control] = text.match(controlCharacter) ?? []
  if (control === undefined) return text
  const code = control.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')
  throw new UserError(`${name} contains the control character U+${code}`, {
    hint: 'save it as plain text with encoding UTF-8',
  })
}

/** Control characters except tabs, line breaks and form feeds. */
const controlCharacter = /(?![\s\u0085])\p{Cc}/u

type Utf16 = 'utf-16le' | 'utf-16be'

/** By the byte order mark. */
function utf16Encoding([first, second]: Uint8Array): Utf16 | undefined {
  if (first === 0xff && second === 0xfe) return 'utf-16le'
  return first === 0xfe && second === 0xff ? 'utf-16be' : undefined
}

/** UTF-16 without a byte order mark, where most characters are of one alphabet. Other bytes do not look like that by chance. */
function guessUtf16(bytes: Uint8Array): string | undefined {
  const [text, ...others] = (['utf-16le', 'utf-16be'] as const)
    .map((encoding) => decodeText(bytes, encoding))
    .filter((text) => text !== undefined && !controlCharacter.test(text) && isMostlyOneAlphabet(text))
  return others.length === 0 ? text : undefined
}

/** Alphabets and kana have code points that share their upper byte, which is below 0x20 or 0x30. That of spaces and ASCII is 0. */
function isMostlyOneAlphabet(text: string): boolean {
  const uppers = Array.from({ length: text.length }, (_, i) => text.charCodeAt(i) >> 8)
  return [...new Set(uppers)].some(
    (alphabet) =>
      (alphabet < 0x20 || alphabet === 0x30) &&
      uppers.filter((upper) => upper === alphabet || upper === 0).length >= 0.6 * text.length,
  )
}

/**
 * The caption that a clip is trained with: the trigger phrase, a space, the caption of the dataset. The phrase is not repeated where the caption already
 * starts with it as whole words ("tones of a bell" does not start with "tone").
 */
export function composeCaption(triggerPhrase: string, caption: string): string {
  const trigger = triggerPhrase.trim()
  if (trigger === '' || startsWithWords(caption, trigger)) return caption
  return `${trigger} ${caption}`.trim()
}

/**
 * An example of a prompt for a LoRA: the most frequent caption of its pairs, of equally frequent ones the first. Undefined where most pairs have no caption beside the trigger phrase: then the phrase alone is the usual prompt.
 * @param captions those of all pairs that are trained on, as `composeCaption` makes them.
 */
export function exampleCaption(captions: readonly string[], triggerPhrase: string): string | undefined {
  const counts = new Map<string, number>()
  for (const caption of captions) counts.set(caption, (counts.get(caption) ?? 0) + 1)
  counts.delete(triggerPhrase.trim())
  if (sum([...counts.values()]) <= captions.length / 2) return undefined
  const [mostFrequent] = [...counts].sort(([, a], [, b]) => b - a)
  return mostFrequent?.[0]
}

const startsWithWords = (text: string, words: string) =>
  text.startsWith(words) && !/^[\p{L}\p{N}\p{M}_]/u.test(text.slice(words.length))
