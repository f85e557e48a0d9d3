/**
 * How large input may be: far above what people train with, far below what fills a disk or runs for hours. A limit is raised by its name,
 * with `--limit zip-files=50000` or with the same text in `LTX_A2A_LIMITS`, several separated by commas.
 */
import { UserError } from '../platform/errors.ts'
import { shownValue } from '../platform/text.ts'

export const defaultLimits = Object.freeze({
  /** Entries of an archive. */
  'zip-files': 20_000,
  /** The unpacked size of one file. */
  'zip-file-mib': 2048,
  /** The unpacked size of all files: 50 hours of stereo wav. */
  'zip-total-mib': 65_536,
  /** Unpacked size divided by packed size, checked above one unpacked gibibyte. Sound packs about 2 : 1, silence 1000 : 1. */
  'zip-ratio': 200,
  /** The names and other metadata of an archive's files, which are kept in memory. */
  'zip-list-mib': 64,
  'download-mib': 32_768,
  /** Seconds without a byte. */
  'download-silence-seconds': 60,
  'caption-kib': 64,
  'audio-minutes': 60,
  'audio-channels': 32,
  'audio-khz': 384,
  /** Decoded samples of all channels, in millions: an hour of stereo at 192 kHz. */
  'audio-megasamples': 1400,
  /** The time that ffmpeg may take for one file. */
  'decoding-seconds': 300,
})

export type LimitName = keyof typeof defaultLimits

export type Limits = Readonly<Record<LimitName, number>>

export const limitNames = Object.keys(defaultLimits) as LimitName[]

/**
 * Changes some limits of `base`.
 * @param texts such as `zip-files=50000`; a later one wins, and one text may hold several, separated by commas.
 * @throws UserError for an unknown name, or a value that is not a positive number.
 */
export function parseLimits(texts: readonly string[], base: Limits = defaultLimits): Limits {
  if (!Array.isArray(texts) || texts.some((text) => typeof text !== 'string'))
    throw new UserError(`the limits are ${shownValue(texts)}, not a list of texts`, {
      hint: "write them as ['zip-files=50000']",
    })
  const limits: Record<LimitName, number> = { ...base }
  for (const text of texts.flatMap((text) => text.split(',')).filter((text) => text.trim() !== '')) {
    const [, name = '', number = ''] = /^\s*([^=]*?)\s*=\s*(\d+(?:\.\d+)?)\s*$/.exec(text) ?? []
    if (!isLimitName(name) || !(Number(number) > 0))
      throw new UserError(`${text.slice(0, 80)} is not a limit`, {
        hint: `write it as name=number; the names are ${limitNames.join(', ')}`,
      })
    limits[name] = Number(number)
  }
  return Object.freeze(limits)
}

const isLimitName = (name: string): name is LimitName => limitNames.includes(name as LimitName)

/** The part of a hint that says how to raise a limit. @param needed a value that is enough. */
export const raiseLimitHint = (name: LimitName, needed: number) => `raise it with --limit ${name}=${Math.ceil(needed)}`
