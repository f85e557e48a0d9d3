/**
 * What input may cost at most: far above what people train with, far below what fills a disk or an evening. Whoever needs more raises a limit by
 * name, with `--limit zip-files=50000` or the same in `LTX_A2A_LIMITS`, separated by commas.
 */
import { UserError } from '../platform/errors.ts'

const defaults = {
  /** Entries of an archive. */
  'zip-files': 20_000,
  /** One file, unpacked. */
  'zip-file-mib': 2048,
  /** All files, unpacked: 50 hours of stereo wav. */
  'zip-total-mib': 65_536,
  /** Unpacked by packed size, where it unpacks to more than a gibibyte. Sound packs 2 : 1, silence 1000 : 1. */
  'zip-ratio': 200,
  /** The list of an archive's files, which is kept in memory. */
  'zip-list-mib': 64,
  'download-mib': 32_768,
  /** Without a byte. */
  'download-silence-seconds': 60,
  'caption-kib': 64,
  'audio-minutes': 60,
  'audio-channels': 32,
  'audio-khz': 384,
  /** Decoded samples of all channels, in millions: an hour of stereo at 192 kHz. */
  'audio-megasamples': 1400,
  /** Of one file. */
  'decoding-seconds': 300,
}

export type LimitName = keyof typeof defaults

export const limitNames = Object.keys(defaults) as LimitName[]

const raised = new Map<string, number>()

export const limit = (name: LimitName): number => raised.get(name) ?? defaults[name]

/** The end of a hint, for whoever meant it. */
export const raisable = (name: LimitName, needed: number) => `raise it with --limit ${name}=${Math.ceil(needed)}`

/**
 * Changes limits for this process, once, at the door.
 * @param texts `zip-files=50000`, the later ones win; one text may hold several, separated by commas.
 * @throws UserError for an unknown name, or what is no positive number.
 */
export function raiseLimits(texts: readonly string[]) {
  for (const text of texts.flatMap((text) => text.split(',')).filter((text) => text.trim() !== '')) {
    const [, name = '', number = ''] = /^\s*([^=]*?)\s*=\s*(\d+(?:\.\d+)?)\s*$/.exec(text) ?? []
    if (!limitNames.includes(name as LimitName) || !(Number(number) > 0))
      throw new UserError(`${text.slice(0, 80)} is not a limit`, {
        hint: `write it as name=number; the names are ${limitNames.join(', ')}`,
      })
    raised.set(name, Number(number))
  }
}
