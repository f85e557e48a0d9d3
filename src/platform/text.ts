/** Numbers, sizes, durations, names and lists as text. */

/**
 * Text without the characters that control a terminal or change how text is displayed: control characters except line feed and tab, and invisible
 * characters, among them those that change the writing direction. Names and captions from an archive may contain them.
 */
export const printable = (text: string) =>
  text
    .replace(invisible, '')
    .replace(/[\u2028\u2029]/g, '\n')
    .replace(/(?![\n\t])\p{Cc}/gu, '')

/** The same as one line: control characters and white space become single spaces. */
export const plain = (text: string) =>
  text
    .replace(invisible, '')
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .trim()

/**
 * Unicode's default ignorable characters and the interlinear annotations. Variation selectors stay: they only choose a shape. The joiners U+200C and
 * U+200D stay where writing needs them: in emoji, in Arabic and Syriac, and after a vowel sign, as in the scripts of India.
 */
const invisible =
  /(?![\u180b-\u180d\ufe00-\ufe0f\u{e0100}-\u{e01ef}])(?!(?<=[\p{Extended_Pictographic}\p{Emoji_Modifier}\p{M}\p{Script=Arabic}\p{Script=Syriac}])[\u200c\u200d][\p{L}\p{Extended_Pictographic}])[\p{Default_Ignorable_Code_Point}\ufff9-\ufffb]/gu

/** A path as a shell takes it: quoted where it has to be. */
export const shellQuote = (path: string) =>
  /^[\w@%+=:,./\\~-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`

/** `820 bytes`, `64 kB`, `3.2 MB`, `450 MB`, `8.50 GB`: decimal units. */
export function sizeText(bytes: number): string {
  if (bytes < 1e4) return `${Math.round(bytes)} bytes`
  if (bytes < 1e6) return `${Math.round(bytes / 1e3)} kB`
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB` : `${(bytes / 1e9).toFixed(2)} GB`
}

/** The two largest units: `1 h 5 min`, `3 min 20 s`, `4 s`. */
export function durationText(seconds: number): string {
  const whole = Math.round(seconds)
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)]
  if (hours > 0) return `${hours} h ${minutes} min`
  return minutes > 0 ? `${minutes} min ${whole % 60} s` : `${whole} s`
}

/** `1 pair`, `3 pairs` */
export const countText = (count: number, noun: string) => `${count} ${noun}${count === 1 ? '' : 's'}`

/** About two digits, never with an exponent for large numbers: `0.82`, `4.0`, `100`, `1234`. */
export const roughText = (value: number) => (value >= 99.5 ? value.toFixed(0) : value.toPrecision(2))

/** A whole number with separators: `1,800`. */
export const wholeText = (value: number) => Math.round(value).toLocaleString('en')

/** A fixed number of decimals, with a minus sign instead of a hyphen: `−0.50`. */
export const decimalText = (value: number, decimals: number) => value.toFixed(decimals).replace('-', '−')

/** `a, b, c and 5 more` */
export const listText = (names: readonly string[], most: number) =>
  names.length > most ? `${names.slice(0, most).join(', ')} and ${names.length - most} more` : names.join(', ')

/** The text of bytes, or undefined where they are not of this encoding. A byte order mark is part of the text. */
export function decodeText(
  bytes: Uint8Array,
  encoding: 'utf-8' | 'utf-16le' | 'utf-16be' = 'utf-8',
): string | undefined {
  try {
    return new TextDecoder(encoding, { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undefined
  }
}

/** A value in a message, however long it is. */
export function shownValue(value: unknown): string {
  if (Array.isArray(value)) return `a list of ${value.length}`
  if (typeof value === 'object' && value !== null) return 'an object'
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value)
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}

/** Percent-decoded text; the text itself where it is not encoded. */
export function decodedText(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/**
 * A URL as a user wrote it, for messages: without its login and query, which may be secret. It need not be valid, nor have a scheme; whatever stands
 * before an `@` is taken for a login.
 */
export const maskedUrl = (text: string) =>
  text.replace(/^(\s*[a-z][a-z\d+.-]*:\/{1,3})?.*@/is, '$1…@').replace(/[?#].*$/s, '')

/** 0.125 is "12.5 %". */
export const percentText = (share: number) => `${Number((100 * share).toPrecision(4))} %`
