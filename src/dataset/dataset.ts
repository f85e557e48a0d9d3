/** The inspection of a dataset: what would be used, skipped, trimmed and stretched, and why. The result is plain data. */
import { findFfmpeg } from '../audio/ffmpeg.ts'
import type { Limits } from '../config/limits.ts'
import { type InspectOptions, type InspectSettings, resolveInspectSettings } from '../config/settings.ts'
import { mapConcurrently } from '../platform/concurrency.ts'
import { UserError } from '../platform/errors.ts'
import { createReporter, type ProgressEvent, type RunOptions } from '../platform/progress.ts'
import { sum } from '../platform/statistics.ts'
import { countText } from '../platform/text.ts'
import { type Advice, adviseOn } from './advice.ts'
import { composeCaption } from './caption.ts'
import { type ClipStore, clipNames, sameNameHint, sameNameMessage } from './clips.ts'
import type { Pair } from './dataset-file.ts'
import {
  type DatasetOptions,
  pairsPerClipLength,
  recommendedSeconds,
  type SideFit,
  shortestBucket,
  usableBuckets,
} from './fit-plan.ts'
import { type DatasetPair, durationsOf, type InspectedPair, inspectPair, silentReason } from './pair-inspection.ts'
import { findPairs } from './pairs.ts'
import { bySeverity, condenseProblems, type Problem } from './problem.ts'
import { type ComparedPair, type ComparisonProgress, createComparisonStage, findCopies } from './relations.ts'
import { openSource, type Source } from './source.ts'

/** It can be written as JSON and read back. */
export type Dataset = {
  name: string
  location: string
  options: DatasetOptions
  /** All pairs, sorted by name; `plan.use` says which are used. After many unreadable pairs in a row the rest is missing, which is a problem. */
  pairs: DatasetPair[]
  problems: Problem[]
  /** Pairs; one that is used as a single clip is stretched, trimmed or as-is: by its sides. */
  counts: {
    pairs: number
    used: number
    skipped: number
    stretched: number
    trimmed: number
    asIs: number
    /** The clips that are used, and those that `windows: 'all'` would give. */
    clips: number
    allClips: number
  }
  /** What could be better; only where sound was analyzed. */
  advice?: Advice
}

export type InspectProgress = { done: number; total: number; pair: string }

/** More decoders at once compete for the same disk and, on small machines, for the same cores. */
const maxDecoders = 2

export type InspectSourceOptions = {
  onProgress?: ((progress: InspectProgress) => void) | undefined
  /** Whether to measure and compare the sound, which the advice needs. */
  analyzeSound?: boolean
  /** Where to put the fitted clips of all pairs that are used. */
  clips?: ClipStore | undefined
  /** Called now and then while pairs are compared with each other. When it throws, so does the inspection. */
  onComparison?: ((progress: ComparisonProgress) => void) | undefined
  /** Where to put how pairs relate, by their names; only where sound is analyzed. */
  compared?: Map<string, ComparedPair>
}

/**
 * Decodes every pair of a source once: measures it and plans how it would be fitted. Whatever is wrong with a file becomes a problem, whatever could
 * be better becomes advice.
 * @throws UserError only where inspection cannot go on at all, for example without ffmpeg.
 */
export async function inspectSource(
  source: Source,
  options: DatasetOptions,
  { compared, ...inspectOptions }: InspectSourceOptions = {},
): Promise<Dataset> {
  const inspection = await measureSource(source, options, inspectOptions)
  for (const { pair, features, copies } of inspection.inspected)
    if (features && copies) compared?.set(pair.name, { name: pair.name, features, copies })
  return datasetOf(inspection)
}

/** All that was decoded and measured of a source, with the options. */
export type SourceInspection = {
  source: Pick<Source, 'name' | 'location'>
  options: DatasetOptions
  inspected: readonly InspectedPair[]
  /** Those that are not of a pair. */
  problems: readonly Problem[]
  isSoundAnalyzed: boolean
}

/** The part of an inspection that takes long. @throws as `inspectSource`. */
export async function measureSource(
  source: Source,
  options: DatasetOptions,
  inspectOptions: Omit<InspectSourceOptions, 'compared'> = {},
): Promise<SourceInspection> {
  const { name, location } = source
  const found = findPairs(source.paths)
  const { inspected, notRead } = await inspectPairs(source, found.pairs, options, inspectOptions)
  const problems = [...notRead, ...source.problems, ...found.problems]
  return { source: { name, location }, options, inspected, problems, isSoundAnalyzed: !!inspectOptions.analyzeSound }
}

/** What follows from what was measured. @param triggerPhrase another one than that of the inspection. */
export function datasetOf(inspection: SourceInspection, triggerPhrase?: string): Dataset {
  const { source, isSoundAnalyzed } = inspection
  const options = triggerPhrase === undefined ? inspection.options : { ...inspection.options, triggerPhrase }
  const inspected = inspection.inspected.map((one) => ({
    ...one,
    pair: { ...one.pair, caption: composeCaption(options.triggerPhrase, one.text) },
  }))
  const pairs = inspected.map(({ pair }) => pair)
  const problems = [
    ...inspection.problems,
    ...inspected.flatMap(({ problems }) => problems),
    ...clipsWithSameName(pairs),
    ...pairsWithoutText(pairs),
    ...noPairLongEnough(pairs, options.seconds),
  ]
  return {
    ...source,
    options,
    pairs,
    problems: condenseProblems(problems).sort(bySeverity),
    counts: countPairs(pairs),
    ...(isSoundAnalyzed && { advice: adviseOn(inspected, options) }),
  }
}

/**
 * Decodes and inspects pairs, in their order, and compares them with each other where sound is analyzed. After many unreadable ones in a row the others are left out, which is the problem in `notRead`.
 * @throws UserError without ffmpeg.
 */
export async function inspectPairs(
  source: Source,
  pairs: readonly Pair[],
  options: DatasetOptions,
  { onProgress, onComparison, analyzeSound = false, clips }: InspectSourceOptions = {},
): Promise<{ inspected: InspectedPair[]; notRead: Problem[] }> {
  await findFfmpeg() // rather than report every file as unreadable
  const stop = createUnreadableStop()
  let done = 0
  const results = await mapConcurrently(pairs, maxDecoders, async (pair, i) => {
    if (stop.position() < i) return undefined
    const result = await inspectPair(source, pair, options, { analyzeSound, clips })
    stop.add(i, isReadable(result.pair))
    onProgress?.({ done: ++done, total: pairs.length, pair: pair.name })
    return result
  })
  const inspected = results.slice(0, stop.position() + 1).filter((result) => result !== undefined)
  return {
    inspected: await withCopies(inspected, onComparison),
    notRead: pairsNotRead(pairs.length - inspected.length),
  }
}

async function withCopies(
  inspected: readonly InspectedPair[],
  onComparison: InspectSourceOptions['onComparison'],
): Promise<InspectedPair[]> {
  const analyzed = inspected.flatMap((one) => (one.features ? [{ one, features: one.features }] : []))
  const copies = await findCopies(
    analyzed.map(({ features }) => features),
    onComparison,
  )
  const copiesOf = new Map(analyzed.map(({ one }, i) => [one, copies[i]]))
  return inspected.map((one) => {
    const found = copiesOf.get(one)
    return found ? { ...one, copies: found } : one
  })
}

/** This many pairs in a row are enough to see that something is wrong with all of them. */
const mostUnreadableInARow = 50

const isReadable = ({ reference, target }: DatasetPair) => reference.audio !== null && target.audio !== null

/** Decides where to stop. It counts in the order of the pairs, not in that of their decoders, so the result is always the same. */
function createUnreadableStop() {
  const readable: boolean[] = []
  let [checked, inARow] = [0, 0]
  const isOver = () => inARow >= mostUnreadableInARow
  return {
    add: (position: number, isReadable: boolean) => {
      readable[position] = isReadable
      for (; !isOver() && readable[checked] !== undefined; checked++) inARow = readable[checked] ? 0 : inARow + 1
    },
    /** The last pair to inspect. */
    position: () => (isOver() ? checked - 1 : Number.POSITIVE_INFINITY),
  }
}

function pairsNotRead(count: number): Problem[] {
  if (count === 0) return []
  return [
    {
      severity: 'error',
      message: `${countText(mostUnreadableInARow, 'pair')} in a row cannot be read, so the remaining ${countText(count, 'pair')} ${count === 1 ? 'was' : 'were'} not inspected`,
      hint: 'check how the files were exported or copied',
    },
  ]
}

/** @throws UserError with all problems that are errors, if there are any: such a dataset cannot be trained on. */
export function assertTrainable({ location, problems, counts }: Dataset): void {
  const errors = problems.filter(({ severity }) => severity === 'error')
  const [first] = errors
  if (!first) {
    if (counts.used === 0) throw new Error('a dataset without usable pairs must say so in its problems')
    return
  }
  const { hint, code, context } = first
  if (errors.length === 1) throw new UserError(`${location}: ${first.message}`, { hint, code, context })
  const isSame = errors.every((error) => error.code === code)
  const lines = errors.map(({ message, hint }) => `  ${message}${hint ? ` (${hint})` : ''}`)
  throw new UserError(`${location} has ${errors.length} errors:\n${lines.join('\n')}`, {
    hint: 'fix them and start again; inspect-dataset shows everything',
    ...(isSame && { code }),
  })
}

/** Clips of longer pairs are called `drums (1 of 4)`, which may be the name of another pair. */
function clipsWithSameName(pairs: readonly DatasetPair[]): Problem[] {
  const names = pairs.flatMap(({ name, clips }) => (clips.used > 0 ? clipNames(name, clips.used) : []))
  const all = new Set<string>()
  const twice = names.filter((name) => all.size === all.add(name).size)
  return twice.map((name) => ({ severity: 'error', message: sameNameMessage(name), hint: sameNameHint, pair: name }))
}

/** Clips without any text train a transformation that no prompt can switch off. That can be intended. */
function pairsWithoutText(pairs: DatasetPair[]): Problem[] {
  const withoutText = pairs.filter(({ caption, plan }) => plan.use && caption === '')
  if (withoutText.length === 0) return []
  const message = `${pairsHave(withoutText.length)} neither a caption nor a trigger phrase`
  return [{ severity: 'hint', message, hint: 'with a trigger phrase, a prompt can switch the transformation on' }]
}

/** "12 pairs have at least 3.2 s: try --audio-duration-seconds 3.2": the length that the advice recommends. */
function noPairLongEnough(pairs: DatasetPair[], seconds: number): Problem[] {
  if (pairs.length === 0 || pairs.some(({ plan }) => plan.use)) return []
  if (pairs.some(({ plan }) => !plan.use && plan.reason === silentReason))
    return [
      { severity: 'error', message: `no pair has ${seconds} s with sound on both sides`, hint: 'record them again' },
    ]
  const durations = durationsOf(pairs)
  if (durations.length === 0) return [] // none can be read, which is reported for each
  const none = `no pair has ${seconds} s on both sides`
  const provided = Math.max(...durations.map(({ reference, target }) => Math.min(reference, target)))
  const tooShort = {
    severity: 'error',
    code: 'audio_duration_too_short',
    context: { min_duration: seconds, provided_duration: Math.floor(100 * provided) / 100 },
  } as const
  const buckets = usableBuckets(durations)
  if (!buckets)
    return [
      {
        ...tooShort,
        message: `${none}, nor ${shortestBucket} s, the shortest that can be trained`,
        hint: 'use longer recordings',
      },
    ]
  const { longest } = buckets
  const recommended = recommendedSeconds(durations, seconds) ?? longest.seconds
  const { pairs: enough } = pairsPerClipLength(durations).findLast((bucket) => bucket.seconds <= recommended) ?? longest
  const also = recommended < longest.seconds ? ` (${pairsHave(longest.pairs)} at least ${longest.seconds} s)` : ''
  const tryThis = `try --audio-duration-seconds ${recommended}`
  return [{ ...tooShort, message: `${none}; ${pairsHave(enough)} at least ${recommended} s: ${tryThis}${also}` }]
}

const pairsHave = (pairs: number) => `${countText(pairs, 'pair')} ${pairs === 1 ? 'has' : 'have'}`

function countPairs(pairs: DatasetPair[]): Dataset['counts'] {
  const used = pairs.filter(({ plan }) => plan.use).length
  const single = pairs.filter(({ clips }) => clips.used <= 1).flatMap(({ plan }) => (plan.use ? [plan] : []))
  const withSide = (how: SideFit['how']) =>
    single.filter(({ reference, target }) => reference.how === how || target.how === how).length
  const [stretched, trimmed] = [withSide('stretch'), withSide('trim')]
  return {
    pairs: pairs.length,
    used,
    skipped: pairs.length - used,
    stretched,
    trimmed,
    asIs: single.length - stretched - trimmed,
    clips: sum(pairs.map(({ clips }) => clips.used)),
    allClips: sum(pairs.map(({ clips }) => clips.all)),
  }
}

export type InspectRunOptions = RunOptions<ProgressEvent> & {
  /** Limits on the size of input and on the time to decode it. */
  limits?: Limits | undefined
}

/**
 * What a training run would use, skip, trim and stretch, and why. It needs no model and writes nothing.
 * @throws UserError when the dataset cannot be opened; problems with its files are part of the result. Interrupted when the signal was aborted.
 */
export async function inspectDataset(options: InspectOptions, runOptions: InspectRunOptions = {}): Promise<Dataset> {
  const { settings } = resolveInspectSettings({ options })
  if (options?.data === undefined) throw new UserError('there is no dataset', { hint: 'give its path or URL as data' })
  const { limits, signal } = runOptions
  const source = await openSource(options.data, { limits, signal })
  try {
    return await inspectOpenSource(source, settings, runOptions)
  } finally {
    await source.close()
  }
}

/** The same for a source that is open already. The caller closes it. */
export async function inspectOpenSource(
  source: Source,
  settings: InspectSettings,
  runOptions: RunOptions<ProgressEvent> = {},
): Promise<Dataset> {
  const reporter = createReporter<ProgressEvent>(runOptions)
  const stage = reporter.stage('Measuring', undefined, 'pairs')
  const comparison = createComparisonStage(reporter)
  const dataset = await inspectSource(source, datasetOptionsOf(settings), {
    analyzeSound: true,
    onComparison: comparison.onProgress,
    onProgress: ({ done }) => {
      stage.update(done)
      reporter.throwIfAborted()
    },
  })
  comparison.finish()
  stage.finish(countText(dataset.pairs.length, 'pair'))
  await reporter.settled()
  return dataset
}

/** The part of the settings that decides how a dataset is used. */
export const datasetOptionsOf = (
  settings: Pick<
    InspectSettings,
    'triggerPhrase' | 'audioDurationSeconds' | 'audioPreservePitch' | 'audioNormalize' | 'windows'
  >,
): DatasetOptions => ({
  triggerPhrase: settings.triggerPhrase,
  seconds: settings.audioDurationSeconds,
  preservePitch: settings.audioPreservePitch,
  normalize: settings.audioNormalize,
  windows: settings.windows,
})
