/** The inspection of one pair: what its files hold, how it would be fitted, and what is wrong with it. */

import type { LagLine } from '../audio/analysis/lag-line.ts'
import {
  createHeadRecorder,
  createSideMeter,
  type HeadRecorder,
  type SideMeter,
  type SoundLevels,
  type SoundMeasurements,
  silentShareWithin,
  type TimeRange,
} from '../audio/analysis/measurement.ts'
import { createWindowRecorder, type WindowRecorder } from '../audio/analysis/timing.ts'
import { type AudioInfo, isLossy, measureAudio } from '../audio/decode.ts'
import type { SoundStore } from '../audio/sound-store.ts'
import { deinterleave, silencePeak, toDbfs, toStereo } from '../audio/waveform.ts'
import { isNoRoom } from '../platform/temp-folder.ts'
import { composeCaption, decodeCaption } from './caption.ts'
import { type ClipStore, clipNames, fitClip, headSeconds, type StoredClip } from './clips.ts'
import type { Pair } from './dataset-file.ts'
import {
  clipsWithin,
  type DatasetOptions,
  type FitPlan,
  isLongerThanClip,
  type PairDurations,
  planFit,
  type SideFit,
} from './fit-plan.ts'
import { type ComparedSound, compareSides } from './pair-timing.ts'
import { type Problem, problemFrom } from './problem.ts'
import type { PairCopies, PairFeatures } from './relations.ts'
import type { Source } from './source.ts'
import { audibleWindows, createSideWindows, type SideWindows } from './windows.ts'

export type DatasetSide = {
  /** The path inside the source. */
  path: string
  /** `null` when the file cannot be read. */
  audio: {
    /** The decoded length, not that of the header. */
    seconds: number
    sampleRate: number
    channelCount: number
    /** The peak of the part that would be used; `null` for digital silence. */
    peakDbfs: number | null
    silent: boolean
    /** Measurements of the whole file; only where sound was analyzed. */
    sound?: SoundMeasurements
    /** How much of the clips that are used is silence, 0 to 1, or of the whole file where none is; only where sound was analyzed. */
    usedSilentShare?: number
  } | null
}

export type DatasetPair = {
  name: string
  reference: DatasetSide
  target: DatasetSide
  /** With the trigger phrase. */
  caption: string
  plan: FitPlan
  /** How many clips are used of it, how many all of it would give without silent ones, and how many are silent on either side. */
  clips: { used: number; all: number; silent: number }
  /** How the two sides compare; only where sound was analyzed. */
  sound?: ComparedSound
}

/** The durations of the pairs whose files could both be read. */
export const durationsOf = (pairs: readonly DatasetPair[]): PairDurations[] =>
  pairs.flatMap(({ reference, target }) =>
    reference.audio && target.audio ? [{ reference: reference.audio.seconds, target: target.audio.seconds }] : [],
  )

export type InspectedPair = {
  pair: DatasetPair
  /** Its caption without the trigger phrase. */
  text: string
  problems: Problem[]
  features?: PairFeatures
  /** Once it was compared with the other pairs. */
  copies?: PairCopies
  /** What a repair needs; only where sound was analyzed and both sides were read. */
  measured?: MeasuredPair
}

export type MeasuredPair = {
  /** The lag over the whole recordings. Undefined where they are too short, or do not agree on one. */
  line: LagLine | undefined
  /** The largest absolute sample of both recordings. */
  peak: number
  levels: { reference: SoundLevels; target: SoundLevels }
}

export type InspectPairOptions = {
  /** Whether to measure loudness and defects and to compare the two sides, which takes about as long as decoding them. */
  analyzeSound: boolean
  /** Where to put the fitted clips of a usable pair. */
  clips?: ClipStore | undefined
}

/** How much of both sides is compared, from their first sound on. 13 s and a lag of 3 s fit into a Fourier transform of 2¹⁸ samples. */
const comparedSeconds = 13

/** Decodes both sides once: measures them, reads the caption, plans the fit and fits the clips where `clips` is given. Unreadable files become problems. */
export async function inspectPair(
  source: Source,
  pair: Pair,
  options: DatasetOptions,
  { analyzeSound, clips }: InspectPairOptions,
): Promise<InspectedPair> {
  const { name } = pair
  const measure = (side: 'reference' | 'target') => measureSide(source, pair, side, options, { analyzeSound, clips })
  const reference = await measure('reference')
  const target = await measure('target')
  const { text, problems } = await readCaption(source, pair)
  const caption = composeCaption(options.triggerPhrase, text)
  const { plan, windows, audible, counts } = planClips(reference, target, options)
  if (clips && windows) {
    const names = clipNames(name, windows.length)
    for (const [i, window] of windows.entries())
      clips.put({
        name: names[i] as string,
        caption,
        reference: reference.windows.clips[window] as StoredClip,
        target: target.windows.clips[window] as StoredClip,
      })
    if (reference.recording && target.recording)
      clips.putRecording(name, {
        reference: { sound: reference.recording, silence: reference.windows.silence() },
        target: { sound: target.recording, silence: target.windows.silence() },
      })
  } else if (clips) {
    for (const { recording } of [reference, target]) recording?.remove() // no clips come from it
  }
  if (clips && !windows && plan.use) {
    const fit = ({ head }: MeasuredSide, side: SideFit) =>
      fitClip((head as HeadRecorder).waveform(), side, { ...options, limits: source.limits })
    clips.put({
      name,
      caption,
      reference: await fit(reference, plan.reference),
      target: await fit(target, plan.target),
    })
  }
  const ranges = usedRanges(plan, audible, options)
  const sides = {
    reference: describeSide(pair.reference, reference, plan.use ? plan.reference : undefined, { windows, ranges }),
    target: describeSide(pair.target, target, plan.use ? plan.target : undefined, { windows, ranges }),
  }
  const compared = comparedSides(reference, target)
  const silent = plan.use ? Object.values(sides).flatMap((side) => silenceProblem(side, name)) : []
  return {
    pair: { name, ...sides, caption, plan, clips: counts, ...(compared && { sound: compared.sound }) },
    text,
    problems: [...reference.problems, ...target.problems, ...problems, ...silent],
    ...(compared && { features: compared.features, measured: compared.measured }),
  }
}

/** Undefined where sound is not analyzed, or a side cannot be read. */
function comparedSides(reference: MeasuredSide, target: MeasuredSide) {
  if (!reference.info || !target.info || !reference.meters || !target.meters) return undefined
  const timed = ({ sound, timing }: SideMeters) => ({ head: sound.head(), windows: timing.windows() })
  const seconds = Math.min(reference.info.seconds, target.info.seconds)
  const { sound, transformation, line } = compareSides(timed(reference.meters), timed(target.meters), seconds)
  const features: PairFeatures = {
    transformation,
    reference: reference.meters.sound.fingerprint(),
    target: target.meters.sound.fingerprint(),
  }
  const measured: MeasuredPair = {
    line,
    peak: Math.max(reference.info.peak, target.info.peak),
    levels: { reference: reference.meters.sound.levels(), target: target.meters.sound.levels() },
  }
  return { sound, features, measured }
}

/** `info` is null where the file cannot be read. */
type MeasuredSide = {
  info: AudioInfo | null
  windows: SideWindows
  /** All of the file; only where clips from random places are used. */
  recording?: SoundStore | undefined
  meters?: SideMeters | undefined
  /** The beginning of the file, as far as fitting uses it. */
  head?: HeadRecorder | undefined
  problems: Problem[]
}

type SideMeters = { sound: SideMeter; timing: WindowRecorder }

async function measureSide(
  source: Source,
  pair: Pair,
  side: 'reference' | 'target',
  options: DatasetOptions,
  { analyzeSound, clips }: InspectPairOptions,
): Promise<MeasuredSide> {
  const about = { file: pair[side], pair: pair.name }
  const { seconds } = options
  const fingerprintSeconds = options.windows === 'first' ? Math.max(comparedSeconds, headSeconds(seconds)) : Infinity
  const meters = analyzeSound
    ? {
        sound: createSideMeter(comparedSeconds, { fingerprintSeconds, isLossy: isLossy(pair[side]) }),
        timing: createWindowRecorder(),
      }
    : undefined
  const head = clips && createHeadRecorder(headSeconds(seconds))
  const windows = createSideWindows(options, options.windows === 'first' ? undefined : clips)
  const recording = options.windows === 'random' ? clips?.createRecording() : undefined
  try {
    const info = await source.withFile(pair[side], (file) =>
      measureAudio(file, {
        headSeconds: seconds,
        name: pair[side],
        limits: source.limits,
        signal: source.signal,
        onSamples: (block, format) => {
          meters?.sound.add(block, format)
          meters?.timing.add(block, format)
          head?.add(block, format)
          windows.add(block, format)
          recording?.append(toStereo(deinterleave(block, format.channelCount, format.sampleRate)))
        },
      }),
    )
    const message = `${pair[side]} is partly damaged: ffmpeg says ${info.warnings}`
    recording?.complete()
    return {
      info,
      windows,
      recording,
      meters,
      head,
      problems: info.warnings ? [{ severity: 'warning', message, ...about }] : [],
    }
  } catch (error) {
    if (isNoRoom(error)) throw error // not the fault of the file
    return { info: null, windows, problems: [problemFrom(error, about)] }
  }
}

async function readCaption(source: Source, { name: pair, caption: file }: Pair) {
  if (file === undefined) return { text: '', problems: [] }
  try {
    const text = decodeCaption(await source.readText(file), file)
    const empty: Problem = { severity: 'warning', message: `${file} is empty`, file, pair }
    return { text, problems: text === '' ? [empty] : [] }
  } catch (error) {
    return { text: '', problems: [problemFrom(error, { file, pair })] }
  }
}

/**
 * How a pair is used: as one clip that is fitted, or as the `windows` with these indices. Where clips come from random places, that is the first one with
 * sound: evaluations use it. `audible` are all windows with sound.
 */
function planClips(reference: MeasuredSide, target: MeasuredSide, options: DatasetOptions) {
  const plan = planPair(reference.info, target.info, options)
  const durations = reference.info && target.info && { reference: reference.info.seconds, target: target.info.seconds }
  const fitting = durations ? clipsWithin(durations, options) : 0
  const isLonger = durations !== null && isLongerThanClip(durations, options)
  const audible = isLonger ? audibleWindows(reference.windows, target.windows, fitting) : []
  const all = isLonger ? audible.length : fitting
  const counts = { used: plan.use ? 1 : 0, all, silent: fitting - all }
  if (options.windows === 'first' || !isLonger) return { plan, counts }
  const windows = options.windows === 'all' ? audible : audible.slice(0, 1)
  if (windows.length > 0) return { plan, windows, audible, counts: { ...counts, used: windows.length } }
  const silent: FitPlan = { use: false, reason: silentReason }
  return { plan: silent, counts: { ...counts, used: 0 } }
}

/** Why a pair is skipped whose clips all lack sound on one side. */
export const silentReason = 'in every clip, one side is silent'

function planPair(reference: AudioInfo | null, target: AudioInfo | null, options: DatasetOptions): FitPlan {
  if (reference && target) return planFit({ reference: reference.seconds, target: target.seconds }, options)
  const unreadable = [...(reference ? [] : ['reference']), ...(target ? [] : ['target'])]
  return { use: false, reason: `${unreadable.join(' and ')} cannot be read` }
}

/** What is used of both sides; all of them where nothing is. */
function usedRanges(
  plan: FitPlan,
  windows: readonly number[] | undefined,
  { seconds }: DatasetOptions,
): readonly TimeRange[] {
  if (windows) return windows.map((i) => ({ from: i * seconds, to: (i + 1) * seconds }))
  const isHead = plan.use && (plan.reference.how === 'trim' || plan.target.how === 'trim')
  return [{ from: 0, to: isHead ? seconds : Number.POSITIVE_INFINITY }]
}

/** @param used the windows that are used, where there are several, and what they are of the recording. */
function describeSide(
  path: string,
  { info, meters }: MeasuredSide,
  fit: SideFit | undefined,
  used: { windows: readonly number[] | undefined; ranges: readonly TimeRange[] },
): DatasetSide {
  if (!info) return { path, audio: null }
  const { seconds, sampleRate, channelCount, headPeak } = info
  const peak = fit?.how === 'trim' && !used.windows ? headPeak : info.peak
  const peakDbfs = peak === 0 ? null : Math.round(toDbfs(peak) * 100) / 100 || 0 // not −0
  const sound = meters && {
    sound: meters.sound.read(),
    usedSilentShare: silentShareWithin(meters.sound.levels(), used.ranges),
  }
  return { path, audio: { seconds, sampleRate, channelCount, peakDbfs, silent: peak <= silencePeak, ...sound } }
}

const silenceProblem = ({ path, audio }: DatasetSide, pair: string): Problem[] =>
  audio?.silent
    ? [
        {
          severity: 'warning',
          message: `${path} is silent in the part that is used`,
          hint: 'leave the pair out, unless silence is intended',
          file: path,
          pair,
        },
      ]
    : []
