/** What a repair does with each file of a dataset. It is plain data, so that a dry run can show it. */
import { type LagLine, lagAt } from '../../audio/analysis/lag-line.ts'
import { silentRms } from '../../audio/analysis/measurement.ts'
import { shortestTimedSeconds } from '../../audio/analysis/timing.ts'
import { fromDbfs } from '../../audio/waveform.ts'
import type { FixSettings } from '../../config/settings.ts'
import { UserError } from '../../platform/errors.ts'
import type { Reporter } from '../../platform/progress.ts'
import { countText } from '../../platform/text.ts'
import { adviseOn } from '../advice.ts'
import { inspectPairs } from '../dataset.ts'
import type { Pair } from '../dataset-file.ts'
import { tolerableLagSeconds } from '../findings.ts'
import { type DatasetOptions, planFit, shortestBucket } from '../fit-plan.ts'
import type { DatasetPair, DatasetSide, InspectedPair, MeasuredPair } from '../pair-inspection.ts'
import type { SideName } from '../pair-selection.ts'
import { type ComparedSound, isDrift, refineLagLine } from '../pair-timing.ts'
import type { Finding } from '../problem.ts'
import { createComparisonStage } from '../relations.ts'
import { isAudible } from '../silence.ts'
import type { Source } from '../source.ts'
import { levelGains, type PairGain } from './gains.ts'
import { findPairFiles } from './pair-files.ts'
import { type RejectedPair, type Rejection, rejectPairs, rejectUnreadable } from './rejection.ts'
import { alignSides, isUnchanged, type SideChange } from './side-change.ts'
import { silenceReason } from './silence-reason.ts'
import {
  type CutPair,
  clipsWithSound,
  secondsOf,
  silenceToTrim,
  silentShare,
  soundWithin,
  type Trim,
  trimSides,
  withChanges,
} from './silence-trim.ts'

/** `change` is null for a file that is copied byte for byte. `peak` is that of both sides, before the change. */
export type PlannedSide = { from: string; to: string; change: SideChange | null }

export type PlannedPair = {
  name: string
  reference: PlannedSide
  target: PlannedSide
  caption?: { from: string; to: string }
  /** The largest absolute sample of both sides, before the change. */
  peak: number
  /** The lag of the target that is removed, in seconds; with a drift, that at the beginning. 0 where it stays. */
  lagSeconds: number
  /** How much more slowly the target plays, in parts per million: its lag grows. The target is resampled where it is not 0. */
  driftPpm: number
  /** Silence that is cut off both sides, in seconds. */
  trimmed: Trim
  /** Of both sides. */
  gainDb: number
  /** How far the target stays below the median loudness, because the peak allows no more gain. */
  missingDb: number
}

export type FixPlan = {
  name: string
  location: string
  /** Sorted by name. */
  pairs: PlannedPair[]
  rejected: Rejection[]
  /** Files that an earlier repair rejected, which are carried over. */
  rejectedBefore: { path: string; below: string }[]
  /** What `make-pairs` has written about the pairs, which is copied; null where there is none. */
  record: string | null
  /** Files that are no part of a pair and are left out: recordings first. */
  unused: string[]
  /** What the repair leaves to the user. */
  remaining: Finding[]
  counts: { pairs: number; changed: number; rejected: number }
}

/**
 * Inspects a source and plans its repair. Each file is decoded once, and again only where the lag is more than a second.
 * @throws UserError where nothing would be left, and where the inspection cannot go on.
 */
export async function planFix(source: Source, settings: FixSettings, reporter: Reporter): Promise<FixPlan> {
  const options: DatasetOptions = {
    triggerPhrase: '',
    seconds: settings.audioDurationSeconds,
    preservePitch: true,
    normalize: false,
    windows: 'first',
  }
  const clip = options.seconds
  const found = findPairFiles(source.paths)
  const filesByName = new Map(found.pairs.map((pair) => [pair.name, pair]))
  const filesFor = ({ pair }: InspectedPair) => filesByName.get(pair.name) as Pair
  const readable = rejectUnreadable(await inspectAll(source, found.pairs, options, reporter))
  const lines = await lagLines(source, readable.kept, filesFor, reporter)
  const aligned = new Map(readable.kept.map((pair, i) => [pair, alignPair(pair, lines[i])]))
  const alignedPair = (pair: InspectedPair) => aligned.get(pair) as AlignedPair
  const { kept, rejected } = rejectPairs(readable.kept, options, {
    keep: settings.keep,
    silence: (pair) => silenceReason(pair.pair, alignedPair(pair).cut, clip),
  })
  const allRejected = [...readable.rejected, ...rejected]
  if (kept.length === 0) throw nothingLeft(source.location, found.pairs.length, allRejected)
  const gains = levelGains(
    kept.map((pair) => {
      const { peak, levels } = measuredOf(pair)
      const quieterRms = Math.min(
        ...Object.values(levels).map(({ loudest }) => loudest.reduce((a, b) => Math.max(a, b), 0)),
      )
      return { loudness: pair.pair.target.audio?.sound?.loudness ?? null, peak, quieterRms }
    }),
  )
  const badCaptions = rejectedCaptions(kept, filesByName)
  const withBadCaption = new Set(badCaptions.map(({ name }) => name))
  const planned = kept.map((pair, i) => {
    const keepsCaption = !withBadCaption.has(pair.pair.name)
    return planPair(pair, filesFor(pair), alignedPair(pair), { gain: gains[i] as PairGain, clip, keepsCaption })
  })
  const rejections: Rejection[] = [
    ...allRejected.map(({ pair, kind, reason }) => ({
      name: pair.pair.name,
      kind,
      reason,
      files: filesOf(filesFor(pair)),
    })),
    ...badCaptions,
    ...found.oneSided.map(
      ({ name, side, path }): Rejection => ({
        name,
        kind: 'one-sided',
        reason: `${path} has no ${side === 'reference' ? 'target' : 'reference'}`,
        files: [{ path, as: side === 'reference' ? 'start' : 'end' }],
      }),
    ),
  ].sort((a, b) => (a.name < b.name ? -1 : 1))
  const pairs = planned.map(({ pair }) => pair)
  return {
    name: source.name,
    location: source.location,
    pairs,
    rejected: rejections,
    rejectedBefore: found.rejected,
    record: found.record ?? null,
    unused: found.unused,
    remaining: adviseOn(
      kept.map((pair, i) => afterFix(pair, planned[i] as FixedPair, options)),
      options,
    ).findings,
    counts: {
      pairs: pairs.length,
      changed: pairs.filter(({ reference, target }) => reference.change || target.change).length,
      rejected: rejections.filter(({ kind }) => kind !== 'caption').length,
    },
  }
}

async function inspectAll(source: Source, pairs: readonly Pair[], options: DatasetOptions, reporter: Reporter) {
  const stage = reporter.stage('Measuring', pairs.length, 'pairs')
  const comparison = createComparisonStage(reporter)
  const { inspected, notRead } = await inspectPairs(source, pairs, options, {
    analyzeSound: true,
    onComparison: comparison.onProgress,
    onProgress: ({ done }) => {
      stage.update(done)
      reporter.throwIfAborted()
    },
  })
  comparison.finish()
  stage.finish(countText(inspected.length, 'pair'))
  const [first] = notRead
  if (first) throw new UserError(`${source.location}: ${first.message}`, { hint: first.hint })
  return inspected
}

function nothingLeft(location: string, found: number, rejected: readonly RejectedPair[]) {
  const [first] = rejected
  if (!first || found === 0)
    return new UserError(`${location} has no pair`, { hint: 'name the files <name>_start and <name>_end' })
  return new UserError(`no pair of ${location} is left, the first because: ${first.reason}`, {
    hint: '--keep keeps silent, clipped or duplicate pairs',
  })
}

/** The line of each pair, to less than a sample. */
async function lagLines(
  source: Source,
  pairs: readonly InspectedPair[],
  filesFor: (pair: InspectedPair) => Pair,
  reporter: Reporter,
): Promise<(LagLine | undefined)[]> {
  const lines: (LagLine | undefined)[] = []
  for (const inspected of pairs) {
    reporter.throwIfAborted()
    const { pair } = inspected
    const durations = { reference: audioOf(pair.reference).seconds, target: audioOf(pair.target).seconds }
    const { line } = measuredOf(inspected)
    const lag = isAudible(pair) ? pair.sound?.lagSeconds : null
    const isLong = Math.min(durations.reference, durations.target) >= shortestTimedSeconds
    const known = line ?? (typeof lag === 'number' && isLong ? { lag, drift: 0 } : undefined)
    lines.push(known && (await refineLagLine(source, filesFor(inspected), known, durations)))
  }
  return lines
}

const measuredOf = ({ pair, measured }: InspectedPair): MeasuredPair => {
  if (!measured) throw new Error(`${pair.name} was not measured`)
  return measured
}

const audioOf = ({ audio, path }: DatasetSide) => {
  if (!audio) throw new Error(`${path} was not read`)
  return audio
}

const filesOf = ({ reference, target, caption }: Pair): Rejection['files'] => [
  { path: reference, as: 'start' },
  { path: target, as: 'end' },
  ...(caption === undefined ? [] : [{ path: caption, as: 'caption' as const }]),
]

/** Captions that no training would read. */
function rejectedCaptions(kept: readonly InspectedPair[], pairs: ReadonlyMap<string, Pair>): Rejection[] {
  return kept.flatMap(({ pair: { name }, problems }): Rejection[] => {
    const path = pairs.get(name)?.caption
    const [problem] = problems.filter(({ file, severity }) => file === path && severity === 'error')
    if (path === undefined || !problem) return []
    return [{ name, kind: 'caption', reason: problem.message, files: [{ path, as: 'caption' }] }]
  })
}

/** A pair in sync, and what has to be removed for that. */
type AlignedPair = { cut: CutPair; removed: LagLine | undefined }

function alignPair(inspected: InspectedPair, line: LagLine | undefined): AlignedPair {
  const { pair } = inspected
  const removed = lineToRemove(pair, line)
  const [reference, target] = [audioOf(pair.reference), audioOf(pair.target)]
  const asItIs: SideChange = { start: 0, step: 1, gainDb: 0 }
  const cuts = removed ? alignSides(reference, target, removed) : { reference: asItIs, target: asItIs }
  const { levels } = measuredOf(inspected)
  const side = (name: SideName) => {
    const { seconds, sampleRate } = audioOf(pair[name])
    return { change: cuts[name], levels: levels[name], seconds, sampleRate }
  }
  return { cut: { reference: side('reference'), target: side('target') }, removed }
}

/** A planned pair, and how its sides are cut. */
type FixedPair = { pair: PlannedPair; cut: CutPair }

function planPair(
  { pair, measured }: InspectedPair,
  files: Pair,
  { cut, removed }: AlignedPair,
  { gain, clip, keepsCaption }: { gain: PairGain; clip: number; keepsCaption: boolean },
): FixedPair {
  const { gainDb } = gain
  const trimmed = silenceToTrim(cut, { gainDb, clip })
  const changes = trimSides(cut, trimmed)
  const planned = (side: SideName): PlannedSide => {
    const change = { ...changes[side], gainDb }
    const unchanged = isUnchanged(change, audioOf(pair[side]))
    const suffix = side === 'reference' ? 'start' : 'end'
    const extension = unchanged ? extensionOf(files[side]) : '.wav'
    return { from: files[side], to: `${pair.name}_${suffix}${extension}`, change: unchanged ? null : change }
  }
  const { caption } = files
  return {
    cut: withChanges(cut, changes),
    pair: {
      name: pair.name,
      reference: planned('reference'),
      target: planned('target'),
      ...(caption !== undefined && keepsCaption && { caption: { from: caption, to: `${pair.name}.txt` } }),
      peak: measured?.peak ?? 0,
      lagSeconds: removed?.lag ?? 0,
      driftPpm: (removed?.drift ?? 0) * 1e6,
      trimmed,
      ...gain,
    },
  }
}

export const extensionOf = (path: string) => path.slice(path.lastIndexOf('.')).toLowerCase()

/** Two measurements of the same lag differ by less, in seconds. */
const sameLag = 0.005

/** A drift, or a constant lag that the inspection advises to remove. */
function lineToRemove(pair: DatasetPair, line: LagLine | undefined): LagLine | undefined {
  const seconds = Math.min(audioOf(pair.reference).seconds, audioOf(pair.target).seconds)
  if (line && isDrift(line, seconds)) return line
  const inspected = isAudible(pair) ? (pair.sound?.lagSeconds ?? 0) : 0
  const lag = line ? lagAt(line, seconds / 2) : inspected
  const largest = Math.abs(lag - inspected) < sameLag ? Math.max(Math.abs(lag), Math.abs(inspected)) : Math.abs(lag)
  const isWorthIt = largest >= tolerableLagSeconds && seconds - Math.abs(lag) >= shortestBucket
  return isWorthIt ? { lag, drift: 0 } : undefined
}

/** The pair as an inspection would find it afterwards. Digital silence becomes a finding: problems are not part of a plan. */
function afterFix(inspected: InspectedPair, { pair: planned, cut }: FixedPair, options: DatasetOptions): InspectedPair {
  const { pair } = inspected
  const threshold = silentRms / fromDbfs(planned.gainDb)
  const side = (name: SideName): DatasetSide => {
    const audio = audioOf(pair[name])
    const seconds = secondsOf(cut[name])
    const sound = audio.sound && {
      ...audio.sound,
      silentStartSeconds: Math.min(seconds, soundWithin(cut[name], threshold).from),
      loudness: audio.sound.loudness === null ? null : audio.sound.loudness + planned.gainDb,
    }
    const usedSilentShare = silentShare(cut[name], 0, Math.min(seconds, options.seconds))
    return { ...pair[name], audio: { ...audio, seconds, silent: false, usedSilentShare, ...(sound && { sound }) } }
  }
  const { clips, withSound } = clipsWithSound(cut, options.seconds)
  const [reference, target] = [side('reference'), side('target')]
  const plan = planFit({ reference: audioOf(reference).seconds, target: audioOf(target).seconds }, options)
  const isAligned = planned.lagSeconds !== 0 || planned.driftPpm !== 0
  return {
    ...inspected,
    pair: {
      ...pair,
      reference,
      target,
      plan,
      clips: { used: plan.use ? 1 : 0, all: withSound, silent: clips - withSound },
      ...(pair.sound && { sound: withoutLag(pair.sound, isAligned) }),
    },
  }
}

function withoutLag({ driftPpm, ...sound }: ComparedSound, isAligned: boolean): ComparedSound {
  if (isAligned) return { ...sound, lagSeconds: 0 }
  return { ...sound, ...(driftPpm !== undefined && { driftPpm }) }
}
