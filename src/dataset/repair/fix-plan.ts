/** What a repair does with each file of a dataset. It is plain data, so that a dry run can show it. */
import type { LagLine } from '../../audio/analysis/lag-line.ts'
import { lagAt } from '../../audio/analysis/lag-line.ts'
import type { FixSettings } from '../../config/settings.ts'
import { UserError } from '../../platform/errors.ts'
import type { Reporter } from '../../platform/progress.ts'
import { countText } from '../../platform/text.ts'
import { adviseOn } from '../advice.ts'
import { inspectPairs } from '../dataset.ts'
import type { Pair } from '../dataset-file.ts'
import { tolerableLagSeconds } from '../findings.ts'
import { type DatasetOptions, shortestBucket } from '../fit-plan.ts'
import type { DatasetPair, DatasetSide, InspectedPair } from '../pair-inspection.ts'
import { type SideName, sideNames } from '../pair-selection.ts'
import type { Finding } from '../problem.ts'
import { createComparisonStage } from '../relations.ts'
import { isAudible } from '../silence.ts'
import type { Source } from '../source.ts'
import { levelGains } from './gains.ts'
import { findPairFiles } from './pair-files.ts'
import { measurePairTiming, type PairTiming, smallestDrift } from './pair-timing.ts'
import { type Rejection, rejectPairs } from './rejection.ts'
import { alignSides, isUnchanged, type SideChange } from './side-change.ts'

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
  /** How much faster the clock of the target ran, in parts per million. The target is resampled where it is not 0. */
  driftPpm: number
  /** Of both sides. */
  gainDb: number
}

export type FixPlan = {
  name: string
  location: string
  /** Sorted by name. */
  pairs: PlannedPair[]
  rejected: Rejection[]
  /** Files that an earlier repair rejected, which are carried over. */
  rejectedBefore: { path: string; below: string }[]
  /** Files that are no part of a pair. */
  unused: string[]
  /** What the repair leaves to the user. */
  remaining: Finding[]
  counts: { pairs: number; changed: number; rejected: number }
}

/**
 * Inspects a source and plans its repair. Each pair is decoded several times, one pair at a time.
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
  const found = findPairFiles(source.paths)
  const pairsByName = new Map(found.pairs.map((pair) => [pair.name, pair]))
  const inspected = await inspectAll(source, found.pairs, options, reporter)
  const { kept, rejected } = rejectPairs(inspected, options, settings.keep)
  if (kept.length === 0) throw nothingLeft(source.location, found.pairs.length, rejected)
  const timings = await measureTimings(source, kept, pairsByName, reporter)
  const gains = levelGains(
    kept.map(({ pair }, i) => ({
      loudness: pair.target.audio?.sound?.loudness ?? null,
      peak: (timings[i] as PairTiming).peak,
    })),
  )
  const badCaptions = rejectedCaptions(kept, pairsByName)
  const withBadCaption = new Set(badCaptions.map(({ name }) => name))
  const pairs = kept.map(({ pair }, i) =>
    planPair(pair, pairsByName.get(pair.name) as Pair, {
      timing: timings[i] as PairTiming,
      gainDb: gains[i] as number,
      keepsCaption: !withBadCaption.has(pair.name),
    }),
  )
  const allRejected: Rejection[] = [
    ...rejected.map(({ pair: { pair }, kind, reason }) => ({
      name: pair.name,
      kind,
      reason,
      files: filesOf(pairsByName.get(pair.name) as Pair),
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
  return {
    name: source.name,
    location: source.location,
    pairs,
    rejected: allRejected,
    rejectedBefore: found.rejected,
    unused: found.unused,
    remaining: adviseOn(
      kept.map((one, i) => afterFix(one, pairs[i] as PlannedPair, timings[i] as PairTiming)),
      options,
    ).findings,
    counts: {
      pairs: pairs.length,
      changed: pairs.filter(({ reference, target }) => reference.change || target.change).length,
      rejected: allRejected.filter(({ kind }) => kind !== 'caption').length,
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

function nothingLeft(location: string, found: number, rejected: readonly { pair: InspectedPair; reason: string }[]) {
  const [first] = rejected
  if (!first || found === 0)
    return new UserError(`${location} has no pair`, { hint: 'name the files <name>_start and <name>_end' })
  return new UserError(`no pair of ${location} is left, the first because: ${first.reason}`, {
    hint: '--keep keeps silent, clipped or duplicate pairs',
  })
}

async function measureTimings(
  source: Source,
  kept: readonly InspectedPair[],
  pairs: ReadonlyMap<string, Pair>,
  reporter: Reporter,
): Promise<PairTiming[]> {
  const stage = reporter.stage('Comparing', kept.length, 'pairs')
  const timings: PairTiming[] = []
  for (const { pair } of kept) {
    reporter.throwIfAborted()
    const durations = { reference: audioOf(pair.reference).seconds, target: audioOf(pair.target).seconds }
    timings.push(await measurePairTiming(source, pairs.get(pair.name) as Pair, durations))
    stage.update(timings.length)
  }
  stage.finish()
  return timings
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

function planPair(
  pair: DatasetPair,
  files: Pair,
  { timing, gainDb, keepsCaption }: { timing: PairTiming; gainDb: number; keepsCaption: boolean },
): PlannedPair {
  const line = lineToRemove(pair, timing)
  const [reference, target] = [audioOf(pair.reference), audioOf(pair.target)]
  const asItIs: SideChange = { start: 0, step: 1, gainDb: 0 }
  const cuts = line ? alignSides(reference, target, line) : { reference: asItIs, target: asItIs }
  const planned = (side: SideName): PlannedSide => {
    const change = { ...cuts[side], gainDb }
    const unchanged = isUnchanged(change, audioOf(pair[side]))
    const suffix = side === 'reference' ? 'start' : 'end'
    const extension = unchanged ? extensionOf(files[side]) : '.wav'
    return { from: files[side], to: `${pair.name}_${suffix}${extension}`, change: unchanged ? null : change }
  }
  const { caption } = files
  return {
    name: pair.name,
    reference: planned('reference'),
    target: planned('target'),
    ...(caption !== undefined && keepsCaption && { caption: { from: caption, to: `${pair.name}.txt` } }),
    peak: timing.peak,
    lagSeconds: line?.lag ?? 0,
    driftPpm: (line?.drift ?? 0) * 1e6,
    gainDb,
  }
}

export const extensionOf = (path: string) => path.slice(path.lastIndexOf('.')).toLowerCase()

/** Two measurements of the same lag differ by less, in seconds. */
const sameLag = 0.005

/** A drift, or a constant lag that the inspection advises to remove. */
function lineToRemove(pair: DatasetPair, { line }: PairTiming): LagLine | undefined {
  const seconds = Math.min(audioOf(pair.reference).seconds, audioOf(pair.target).seconds)
  if (line && Math.abs(line.drift) * seconds >= smallestDrift) return line
  const inspected = isAudible(pair) ? (pair.sound?.lagSeconds ?? 0) : 0
  const lag = line ? lagAt(line, seconds / 2) : inspected
  const largest = Math.abs(lag - inspected) < sameLag ? Math.max(Math.abs(lag), Math.abs(inspected)) : Math.abs(lag)
  const isWorthIt = largest >= tolerableLagSeconds && seconds - Math.abs(lag) >= shortestBucket
  return isWorthIt ? { lag, drift: 0 } : undefined
}

/** The pair as an inspection would find it afterwards. */
function afterFix(inspected: InspectedPair, planned: PlannedPair, { line }: PairTiming): InspectedPair {
  const { pair } = inspected
  const side = (name: SideName): DatasetSide => {
    const audio = audioOf(pair[name])
    const { change } = planned[name]
    const seconds = change?.frames === undefined ? audio.seconds : change.frames / audio.sampleRate
    const sound = audio.sound && {
      ...audio.sound,
      loudness: audio.sound.loudness === null ? null : audio.sound.loudness + planned.gainDb,
    }
    return { ...pair[name], audio: { ...audio, seconds, ...(sound && { sound }) } }
  }
  const isAligned = sideNames.some((name) => planned[name].change?.frames !== undefined)
  return {
    ...inspected,
    pair: {
      ...pair,
      reference: side('reference'),
      target: side('target'),
      ...(pair.sound && {
        sound: { ...pair.sound, ...(line && { common: 'waveform' as const }), ...(isAligned && { lagSeconds: 0 }) },
      }),
    },
  }
}
