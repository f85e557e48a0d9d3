/** Fitted clips: made from recordings, stored until they are encoded, and written as a dataset of their own. Two channels, 16 kHz, all of one length. */
import { readFileSync, writeFileSync } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { decodeAudio } from '../audio/decode.ts'
import { resample } from '../audio/resample.ts'
import { createSoundStore, type SoundStore } from '../audio/sound-store.ts'
import { stretchTo } from '../audio/stretch.ts'
import { encodeWav } from '../audio/wav.ts'
import {
  concatenateSamples,
  durationOf,
  firstSamples,
  normalizePeak,
  sampleCount,
  toStereo,
  type Waveform,
} from '../audio/waveform.ts'
import type { Limits } from '../config/limits.ts'
import { UserError } from '../platform/errors.ts'
import { isDiskFull, temporaryPath } from '../platform/files.ts'
import { sum } from '../platform/statistics.ts'
import { makeTempFolder } from '../platform/temp-folder.ts'
import { type DatasetOptions, type SideFit, stretchLimit } from './fit-plan.ts'
import { createZip } from './zip-writer.ts'

/** A pair ready to be encoded: both waveforms stereo, 16 kHz, `int(seconds · 16000)` samples. */
export type FittedPair = { name: string; caption: string; reference: Waveform; target: Waveform }

/** The names of the clips of a pair. A single one has that of the pair. */
export const clipNames = (pair: string, count: number): string[] =>
  count === 1 ? [pair] : Array.from({ length: count }, (_, i) => `${pair} (${i + 1} of ${count})`)

/** The sample rate of the audio VAE. */
export const clipSampleRate = 16_000

/** Fitting gets a second more than it needs, so that it alone decides where a clip ends. */
const spareSeconds = 1

/** A reference must be longer than half a window of the mel front end; this is the next round number. */
export const shortestReferenceSeconds = 0.1

/** How much of the beginning of a recording fitting uses, for clips of `seconds`. */
export const headSeconds = (seconds: number) => seconds * stretchLimit + spareSeconds

/**
 * Trims or stretches at the recording's own rate, as the reference implementation trims, then resamples; the peak is normalized last.
 * @param stereo the beginning of the recording, `headSeconds` long where the recording is that long.
 */
export async function fitClip(
  stereo: Waveform,
  fit: SideFit,
  options: Pick<DatasetOptions, 'seconds' | 'normalize'> & { limits?: Limits | undefined },
): Promise<Waveform> {
  const { seconds, limits } = options
  if (fit.how !== 'stretch') return trimClip(stereo, options)
  return trimClip(await stretchTo(stereo, Math.floor(seconds * stereo.sampleRate), limits ? { limits } : {}), options)
}

/** A clip from the beginning of a sound. @param stereo at its own rate, at least `seconds` long. */
export function trimClip(
  stereo: Waveform,
  { seconds, normalize }: Pick<DatasetOptions, 'seconds' | 'normalize'>,
): Waveform {
  const trimmed = firstSamples(stereo, Math.floor(seconds * stereo.sampleRate))
  const clip = withLength(Math.floor(seconds * clipSampleRate), resample(trimmed, clipSampleRate), stereo.sampleRate)
  return normalize ? normalizePeak(clip) : clip
}

/** Makes a clip exactly `samples` long. Resampling gives one sample too many or, from below 16 kHz, up to 16000 / sampleRate too few, which become zeros. */
function withLength(samples: number, { sampleRate, channels }: Waveform, recordedRate: number): Waveform {
  const missing = samples - sampleCount({ sampleRate, channels })
  if (missing > Math.max(16, Math.ceil(sampleRate / recordedRate)))
    throw new Error(`a fitted clip lacks ${missing} of ${samples} samples`)
  const resized = channels.map((channel) => {
    const exact = new Float32Array(samples)
    exact.set(channel.subarray(0, samples))
    return exact
  })
  return { sampleRate, channels: resized }
}

export type FitReferenceOptions = {
  normalize?: boolean
  /** What the file is called in messages; the path by default. */
  name?: string | undefined
  limits?: Limits | undefined
  /** Called when the file is longer than what is used of it. */
  onCut?: (() => void) | undefined
}

/**
 * The reference of a preview: at most the first `seconds` of a file, stereo, 16 kHz; a shorter one stays shorter.
 * @throws UserError when the file cannot be read, is shorter than 0.1 s, or has a sample that is not a usable number.
 */
export async function fitReference(
  path: string,
  seconds: number,
  { normalize = false, name = path, limits, onCut }: FitReferenceOptions = {},
): Promise<Waveform> {
  const decoded = toStereo(await decodeAudio(path, { maxSeconds: seconds + spareSeconds, name, limits }))
  if (durationOf(decoded) < shortestReferenceSeconds) {
    const provided = Math.floor(1000 * durationOf(decoded)) / 1000
    throw new UserError(`${name} has only ${provided.toFixed(3)} s`, {
      hint: `a reference needs at least ${shortestReferenceSeconds} s`,
      code: 'audio_duration_too_short',
      context: { min_duration: shortestReferenceSeconds, provided_duration: provided },
    })
  }
  const samples = Math.floor(seconds * decoded.sampleRate)
  if (sampleCount(decoded) > samples) onCut?.()
  const trimmed = firstSamples(decoded, samples)
  const clip = resample(trimmed, clipSampleRate)
  return normalize ? normalizePeak(clip) : clip
}

/** A pair can have the name of a clip of another one. */
export const sameNameMessage = (name: string) => `a pair and a clip of another pair are both called ${name}`
export const sameNameHint = 'rename the pair'

/** Fitted pairs in a temporary folder. The inspection stores them there, so that no recording is decoded twice. */
export type ClipStore = {
  /** Stores one side of a pair until it is put. @throws UserError when the disk is full. */
  store(clip: Waveform): StoredClip
  /** @throws UserError when the disk is full. */
  put(pair: FittedPair | (Pick<FittedPair, 'name' | 'caption'> & Record<'reference' | 'target', StoredClip>)): void
  /** @throws Error for a pair that was not put. */
  get(name: string): FittedPair
  /** A new place for a whole side of a pair, at the rate of clips. */
  createRecording(): SoundStore
  /** Keeps both sides of a pair, for clips from random places. */
  putRecording(name: string, recording: StoredRecording): void
  /** Undefined where none was put. */
  recording(name: string): StoredRecording | undefined
  /** How many bytes the clips and recordings take in the folder. */
  bytes(): number
  /** Removes the folder. */
  close(): Promise<void>
}

/** A clip on the disk. */
export type StoredClip = { path: string }

/** Both sides of a pair on the disk: stereo, 16 kHz, as recorded. Clips with a peak up to `silence` are not used. */
export type StoredRecording = Record<'reference' | 'target', { sound: SoundStore; silence: number }>

export async function openClipStore(): Promise<ClipStore> {
  const folder = await makeTempFolder()
  const recordings = new Map<string, StoredRecording>()
  let clipBytes = 0
  const stored = new Map<string, { caption: string; reference: StoredClip; target: StoredClip }>()
  const store = ({ channels }: Waveform): StoredClip => {
    const path = folder.newFile('.f32')
    const samples = concatenateSamples(channels)
    clipBytes += samples.byteLength
    try {
      writeFileSync(path, samples)
    } catch (cause) {
      if (!isDiskFull(cause)) throw cause
      throw new UserError('there is no room for the fitted clips', {
        hint: 'free some space or set TMPDIR',
        cause,
        code: 'machine_error',
      })
    }
    return { path }
  }
  const read = ({ path }: StoredClip): Waveform => {
    const bytes = readFileSync(path)
    const samples = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength))
    const half = samples.length / 2
    return { sampleRate: clipSampleRate, channels: [samples.subarray(0, half), samples.subarray(half)] }
  }
  return {
    store,
    put: ({ name, caption, ...sides }) => {
      if (stored.has(name)) throw new UserError(sameNameMessage(name), { hint: sameNameHint })
      const [reference, target] = [sides.reference, sides.target].map((side) => ('path' in side ? side : store(side)))
      stored.set(name, { caption, reference: reference as StoredClip, target: target as StoredClip })
    },
    get: (name) => {
      const pair = stored.get(name)
      if (!pair) throw new Error(`the pair ${name} was not fitted`)
      return { name, caption: pair.caption, reference: read(pair.reference), target: read(pair.target) }
    },
    createRecording: () => createSoundStore(folder.newFile('.f32'), () => clipSampleRate),
    putRecording: (name, recording) => void recordings.set(name, recording),
    recording: (name) => recordings.get(name),
    bytes: () =>
      clipBytes +
      sum([...recordings.values()].flatMap((sides) => Object.values(sides).map(({ sound }) => sound.bytes()))),
    close: folder.remove,
  }
}

/** The clips as the model is trained on them, their captions and the plan, as a zip that is itself a dataset. */
export type DebugDataset = {
  add(pair: FittedPair): void
  finish(): Promise<void>
  /** Removes the temporary file of a dataset that was not finished. */
  close(): Promise<void>
}

/** @param plan is written as plan.json. */
export function createDebugDataset(path: string, plan: object): DebugDataset {
  const temporary = temporaryPath(path)
  const zip = createZip(temporary)
  const stems = new Set<string>()
  zip.addBytes('plan.json', `${JSON.stringify(plan, null, 2)}\n`)
  return {
    add: ({ name, caption, reference, target }) => {
      const stem = archiveStem(name, stems)
      stems.add(stem)
      zip.addBytes(`${stem}_start.wav`, encodeWav(reference))
      zip.addBytes(`${stem}_end.wav`, encodeWav(target))
      if (caption) zip.addBytes(`${stem}.txt`, `${caption}\n`)
    },
    finish: async () => {
      await zip.finish()
      await rename(temporary, path)
    },
    close: async () => {
      await zip.close()
      await rm(temporary, { force: true })
    },
  }
}

/** The path of a pair in an archive. Archives take `\` for a separator, and a path that begins with `a:` for one that begins with a drive. */
function archiveStem(name: string, taken: ReadonlySet<string>): string {
  let stem = name.replaceAll('\\', fullWidthBackslash)
  while (taken.has(archivePath(stem))) stem += fullWidthBackslash
  return archivePath(stem)
}

const fullWidthBackslash = '\uFF3C'

const archivePath = (stem: string) => (/^[a-z]:/i.test(stem) ? `pairs/${stem}` : stem)
