/** The pairs that a run holds out: chosen from its dataset, or a dataset of their own. */
import type { Limits } from '../config/limits.ts'
import { trainParameters } from '../config/parameters.ts'
import type { TrainSettings } from '../config/settings.ts'
import { type ClipStore, clipNames, openClipStore } from '../dataset/clips.ts'
import type { Dataset } from '../dataset/dataset.ts'
import type { DatasetPair } from '../dataset/pair-inspection.ts'
import { type ComparedPair, createComparisonStage } from '../dataset/relations.ts'
import { openSource } from '../dataset/source.ts'
import { chooseHeldOut, copiesOfTraining, fewestPairsToSplit, groupsOf, heldOutCount } from '../dataset/split.ts'
import type { StoredClips } from '../encode/dataset.ts'
import { UserError, withParameter } from '../platform/errors.ts'
import type { Reporter } from '../platform/progress.ts'
import { countText, listText, percentText } from '../platform/text.ts'
import type { TrainEvent, ValidationClip } from './events.ts'
import { inspectForTraining } from './inspection-report.ts'

/** A dataset that was inspected: its fitted clips, and how its pairs relate. */
export type InspectedData = { dataset: Dataset; clips: ClipStore; compared: ReadonlyMap<string, ComparedPair> }

export type SplitData = {
  training: StoredClips
  /** The captions of the pairs that are trained on. */
  trainingCaptions: readonly string[]
  /** The clips that are evaluated. */
  heldOut: StoredClips
  heldOutPairs: readonly HeldOutPair[]
  close(): Promise<void>
}

/** `clips` are the names of those that are evaluated. */
export type HeldOutPair = { name: string; caption: string; clips: readonly string[] }

/** How many names a message lists. */
const mostNames = 6

/**
 * Decides which pairs are trained on and which are held out, and says so.
 * @param before the pairs that a resumed run holds out: they stay the same.
 * @throws UserError where pairs cannot be held out as the settings ask.
 */
export async function splitData(
  data: InspectedData,
  settings: TrainSettings,
  before: readonly string[] | undefined,
  { limits, reporter }: { limits: Limits; reporter: Reporter<TrainEvent> },
): Promise<SplitData> {
  const { holdoutData: location } = settings
  if (location !== undefined)
    return withParameter('holdout_data', () => splitFromOther(data, settings, before, { location, limits, reporter }))
  const names = usedNames(data)
  const wanted = before ? 0 : wantedPairs(settings.holdout, names.length)
  const chosen =
    settings.holdout === 0
      ? []
      : (before ??
        withParameter('holdout', () => chooseHeldOut(groupsOf(comparedPairs(data)), settings.holdout, settings.seed)))
  const heldOut = names.filter((name) => chosen.includes(name))
  if (heldOut.length > 0) {
    const fewer =
      heldOut.length < wanted ? `, not ${wanted}: pairs with copies of the same recording stay together` : ''
    reporter.info(`Held out: ${heldOut.length} of ${names.length} pairs${fewer} (${listText(heldOut, mostNames)})`)
    reportFewHeldOut(data, heldOut, settings, reporter)
  } else if (settings.holdout !== 0 && names.length < fewestPairsToSplit)
    reporter.warn(
      `no pairs are held out: the dataset has ${countText(names.length, 'usable pair')}, and at least ${fewestPairsToSplit} are needed`,
      'record more pairs, or give pairs of their own with --holdout-data',
    )
  const training = names.filter((name) => !heldOut.includes(name))
  return { ...splitOf({ data, names: training }, { data, names: heldOut }), close: async () => {} }
}

/**
 * How many pairs are wanted, which can be refused before the recordings are compared.
 * @throws UserError where it is more than half of them.
 */
function wantedPairs(holdout: number, pairs: number): number {
  if (holdout === 0 || pairs < fewestPairsToSplit) return 0
  const wanted = heldOutCount(holdout, pairs)
  const most = Math.floor(pairs / 2)
  if (wanted <= most) return wanted
  const left = Math.max(0, pairs - wanted)
  throw new UserError(
    `holding out ${holdout < 1 ? percentText(holdout) : holdout} of ${pairs} pairs would leave ${left} to train on`,
    { hint: `hold out at most half of them: --holdout ${most} or less`, parameter: 'holdout' },
  )
}

/** Warns where all figures come from one recording, and says where there are fewer pairs than previews. */
function reportFewHeldOut(
  data: InspectedData,
  heldOut: readonly string[],
  { holdoutPreviews }: TrainSettings,
  reporter: Reporter,
) {
  const pairs = comparedPairs(data).filter(({ name }) => heldOut.includes(name))
  if (groupsOf(pairs).length === 1)
    reporter.warn(
      `only ${heldOut.length === 1 ? 'one pair is' : 'copies of one recording are'} held out: the held-out loss, best.safetensors, --patience and the verdict rest on a single recording`,
      'hold out more with --holdout, or give other pairs with --holdout-data',
    )
  if (holdoutPreviews > Math.max(heldOut.length, trainParameters.holdout_previews.default))
    reporter.info(`Held-out previews: ${heldOut.length}, not ${holdoutPreviews}: no more pairs are held out`)
}

async function splitFromOther(
  data: InspectedData,
  settings: TrainSettings,
  before: readonly string[] | undefined,
  { location, limits, reporter }: { location: string; limits: Limits; reporter: Reporter<TrainEvent> },
): Promise<SplitData> {
  const source = await openSource(location, { limits, signal: reporter.signal })
  const clips = await openClipStore()
  try {
    const compared = new Map<string, ComparedPair>()
    const dataset = await inspectForTraining(source, settings, { clips, compared }, reporter, 'held-out')
    const other = { dataset, clips, compared }
    const comparison = createComparisonStage(reporter)
    const copies = before
      ? []
      : await copiesOfTraining(comparedPairs(data), comparedPairs(other), comparison.onProgress)
    comparison.finish()
    const heldOut = usedNames(other).filter((name) => (before ? before.includes(name) : !copies.includes(name)))
    if (copies.length > 0)
      reporter.warn(
        `${dataset.location}: ${countText(copies.length, 'pair')} left out, because recordings or copies of them are trained on: ${listText(copies, mostNames)}`,
      )
    if (heldOut.length === 0 && !before)
      throw new UserError(`all pairs of ${dataset.location} have recordings that are trained on`, {
        hint: 'hold out recordings that are not in the training data',
      })
    reporter.info(`Held out: ${countText(heldOut.length, 'pair')} of ${dataset.location}`)
    reportFewHeldOut(other, heldOut, settings, reporter)
    const training = { data, names: usedNames(data) }
    return { ...splitOf(training, { data: other, names: heldOut }), close: clips.close }
  } catch (error) {
    await clips.close()
    throw error
  } finally {
    await source.close()
  }
}

type PairsOf = { data: InspectedData; names: readonly string[] }

function splitOf(training: PairsOf, heldOut: PairsOf): Omit<SplitData, 'close'> {
  const pairsIn = ({ data: { dataset }, names }: PairsOf) => dataset.pairs.filter(({ name }) => names.includes(name))
  const clipsOf = ({ name, clips }: DatasetPair) => clipNames(name, clips.used)
  const heldOutPairs = pairsIn(heldOut).map((pair) => {
    const { name, caption } = pair
    return { name, caption, clips: evenlySpaced(clipsOf(pair), mostClips) }
  })
  const trainingPairs = pairsIn(training)
  return {
    training: { names: trainingPairs.flatMap(clipsOf), clips: training.data.clips },
    trainingCaptions: trainingPairs.map(({ caption }) => caption),
    heldOut: { names: heldOutPairs.flatMap(({ clips }) => clips), clips: heldOut.data.clips },
    heldOutPairs,
  }
}

/** Of a held-out pair that gives more clips, so many are evaluated: an evaluation must not take longer than the steps between two of them. */
const mostClips = 4

const evenlySpaced = <Item>(items: readonly Item[], most: number): Item[] =>
  items.length <= most
    ? [...items]
    : Array.from({ length: most }, (_, i) => items[Math.floor(((i + 0.5) * items.length) / most)] as Item)

/** One clip of each of the first held-out pairs, for previews beside their true targets. */
export const heldOutClips = ({ heldOut, heldOutPairs }: SplitData, count: number): ValidationClip[] =>
  heldOutPairs.slice(0, count).map(({ name, clips: [clip] }) => {
    const { caption, reference, target } = heldOut.clips.get(clip as string)
    return { prompt: caption, reference, target, heldOut: name }
  })

const usedNames = ({ dataset }: Pick<InspectedData, 'dataset'>) =>
  dataset.pairs.filter(({ plan }) => plan.use).map(({ name }) => name)

/** Every pair that is used could be read, so all were compared. */
const comparedPairs = (data: InspectedData): ComparedPair[] =>
  usedNames(data).map((name) => data.compared.get(name) as ComparedPair)
