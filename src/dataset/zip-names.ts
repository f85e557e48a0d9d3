/**
 * The names of the files in a zip. Most are UTF-8, with or without the flag that says so. Others are in a legacy encoding that the archive does not
 * state. Those cannot be read for certain, but they stay distinct, and equal bytes always give equal text, so the files of a pair stay together.
 */
import type { Entry } from 'yauzl'
import { crc32 } from '../formats/crc.ts'
import { decodeText } from '../platform/text.ts'

/** The parts of a path: text where the bytes are UTF-8, otherwise the bytes. */
export type RawPath = readonly (string | Buffer)[]

/** Splits the name of an entry at `/`, and at `\`, which some Windows programs write. */
export function rawPath(entry: Pick<Entry, 'fileNameRaw' | 'extraFields'>): RawPath {
  return splitBytes(unicodePath(entry) ?? entry.fileNameRaw, '/').flatMap((part): RawPath => {
    const text = decodeText(part)
    return text === undefined ? splitBytes(part, '\\').map((piece) => decodeText(piece) ?? piece) : text.split('\\')
  })
}

export const isLegacy = (path: RawPath) => path.some((part) => typeof part !== 'string')

/** All paths of an archive as text. Different bytes give different text. */
export function pathTexts(paths: readonly RawPath[]): string[] {
  const legacy = new Map(paths.flat().flatMap((part) => (typeof part === 'string' ? [] : [[binary(part), part]])))
  const hasUnicode = legacy.size > 0 && paths.flat().some((part) => typeof part === 'string' && !isAscii(part))
  const isReadable = !hasUnicode && isUnambiguous([...legacy.values()].map(decodeCp437))
  const textOf = (part: string | Buffer) => {
    if (typeof part !== 'string') return isReadable ? decodeCp437(part) : escapeBytes(part)
    return legacy.size > 0 && part.includes(escapeMark) ? escapeBytes(Buffer.from(part)) : part
  }
  return paths.map((path) => path.map(textOf).join('/'))
}

/**
 * Text for bytes in an unknown encoding: `M�81ller`. Bytes that are not ASCII become their hexadecimal value, as does an ASCII byte that could be the
 * second half of a character. A suffix such as `_start.wav` stays readable.
 */
export function escapeBytes(bytes: Uint8Array): string {
  const [, stem = '', suffix = ''] = /^(.*?)((?:_(?:start|end))?(?:\.[A-Za-z0-9]+)?)$/is.exec(binary(bytes)) ?? []
  return (
    stem.replace(legacyCharacter, (character) =>
      [...Buffer.from(character, 'latin1')]
        .map((byte) => escapeMark + byte.toString(16).toUpperCase().padStart(2, '0'))
        .join(''),
    ) + suffix
  )
}

/** U+FFFD, the character for what cannot be decoded. */
const escapeMark = '\uFFFD'

/** Shift-JIS, GBK and Big5 write a character as a byte above 0x80 and one from 0x40, which may be ASCII. */
const legacyCharacter = /[\x81-\xfe][\x40-\x7e\x80-\xfe]|[\x80-\xff]/g

/** The Info-ZIP extra field with the name in UTF-8. It counts only while it belongs to the name, which its checksum shows. */
function unicodePath({ fileNameRaw, extraFields }: Pick<Entry, 'fileNameRaw' | 'extraFields'>): Buffer | undefined {
  const field = extraFields.find(
    ({ id, data }) => id === 0x7075 && data.length > 5 && data[0] === 1 && data.readUInt32LE(1) === crc32(fileNameRaw),
  )
  const name = field?.data.subarray(5)
  return name && decodeText(name) !== undefined ? name : undefined
}

/** Splits at a separator that is not the second byte of a character, as the `\` in ソ of Shift-JIS is. */
function splitBytes(bytes: Buffer, separator: '/' | '\\'): Buffer[] {
  let start = 0
  return binary(bytes)
    .replace(legacyCharacter, (character) => '?'.repeat(character.length))
    .split(separator)
    .map(({ length }) => {
      const part = bytes.subarray(start, start + length)
      start += length + 1
      return part
    })
}

/** Whether CP437 fits: no text contains a separator, and none differ only in case, as ア and チ of Shift-JIS do when they are read as CP437. */
function isUnambiguous(texts: string[]): boolean {
  return (
    texts.every((text) => !text.includes('\\')) &&
    new Set(texts.map((text) => text.toLowerCase())).size === texts.length
  )
}

/** The encoding of the first PCs, which zip files without Unicode names are said to use. */
const decodeCp437 = (bytes: Uint8Array) =>
  binary(bytes).replace(/[\x80-\xff]/g, (byte) => upperCp437[byte.charCodeAt(0) - 0x80] as string)

const upperCp437 =
  'ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00A0'

/** One character per byte. */
const binary = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')

const isAscii = (text: string) => /^\p{ASCII}*$/u.test(text)
