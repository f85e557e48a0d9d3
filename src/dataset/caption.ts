/** The text of a caption file; `undefined` when it is not UTF-8. A byte-order mark and surrounding blanks are dropped. */
export function decodeCaption(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes).trim() // the decoder drops the byte-order mark
  } catch {
    return undefined
  }
}

/**
 * What a clip is trained with: the trigger phrase, a space, the caption. The phrase is not repeated where the caption starts with
 * it as words of its own ("tone" does not count as present in "tones of a bell").
 */
export function composeCaption(triggerPhrase: string, caption: string): string {
  const trigger = triggerPhrase.trim()
  if (trigger === '' || startsWithWords(caption, trigger)) return caption
  return `${trigger} ${caption}`.trim()
}

const startsWithWords = (text: string, words: string) =>
  text.startsWith(words) && !/^[\p{L}\p{N}\p{M}_]/u.test(text.slice(words.length))
