/** One pair, looked at closely: what its files hold, what it would be trained with, what is wrong with it. */
import { createListener, type Listener, type SideSound } from '../audio/analysis/measurement.ts'
import { comparePair, type PairSound, type PairTraits } from '../audio/analysis/pair-comparison.ts'
import { type AudioFacts, measureAudio } from '../audio/decode.ts'
import { silenceCeiling, toDbfs } from '../audio/waveform.ts'
import { UserError } from '../platform/errors.ts'
import { composeCaption, decodeCaption } from './caption.ts'
import type { DatasetOptions } from './dataset.ts'
import { type FitPlan, planFit, type SideFit } from './fit-plan.ts'
import type { Pair } from './pairs.ts'
import { type Problem, problemFrom } from './problem.ts'
import type { Source } from './source.ts'

export type DatasetSide = {
  /** Inside the source. */
  path: string
  /** `null` when the file cannot be read. */
  audio: {
    /** Decoded, not what the header claims. */
    seconds: number
    sampleRate: number
    channelCount: number
    /** The peak of what would be used; `null` for digital silence. */
    peakDbfs: number | null
    silent: boolean
    /** Of the whole file; only where it was listened to. */
    sound?: SideSound
  } | null
}

export type DatasetPair = {
  name: string
  reference: DatasetSide
  target: DatasetSide
  /** With the trigger phrase. */
  caption: string
  plan: FitPlan
  /** How its sides compare; only where they were listened to. */
  sound?: PairSound
}

export type InspectedPair = { pair: DatasetPair; problems: Problem[]; traits?: PairTraits }

/** The beginning that two sides are compared by. 15 s and a second of lag make a Fourier transform of 2¹⁸ samples. */
const comparedSeconds = 15

/**
 * Measures both sides, reads the caption, and plans the fit. Unreadable files become problems.
 * @param listens whether sides are also listened to and compared, which takes about as long as decoding them.
 */
export async function inspectPair(
  source: Source,
  pair: Pair,
  options: DatasetOptions,
  listens: boolean,
): Promise<InspectedPair> {
  const { name } = pair
  const reference = await measureSide(source, pair, 'reference', options, listens)
  const target = await measureSide(source, pair, 'target', options, listens)
  const { text, problems } = await readCaption(source, pair)
  const plan = planPair(reference.facts, target.facts, options)
  const sides = {
    reference: describeSide(pair.reference, reference, plan.use ? plan.reference : undefined),
    target: describeSide(pair.target, target, plan.use ? plan.target : undefined),
  }
  const compared =
    reference.listener && target.listener
      ? comparePair(reference.listener.beginning(), target.listener.beginning())
      : undefined
  const silent = plan.use ? Object.values(sides).flatMap((side) => silence(side, name)) : []
  return {
    pair: {
      name,
      ...sides,
      caption: composeCaption(options.triggerPhrase, text),
      plan,
      ...(compared && { sound: compared.sound }),
    },
    problems: [...reference.problems, ...target.problems, ...problems, ...silent],
    ...(compared && { traits: compared.traits }),
  }
}

/** A part of a pair, and what was wrong with it. */
type Inspected<Part> = Part & { problems: Problem[] }

type Heard = { facts: AudioFacts | null; listener?: Listener | undefined }

async function measureSide(
  source: Source,
  pair: Pair,
  side: 'reference' | 'target',
  { seconds }: DatasetOptions,
  listens: boolean,
): Promise<Inspected<Heard>> {
  const about = { file: pair[side], pair: pair.name }
  const listener = listens ? createListener(comparedSeconds) : undefined
  try {
    const facts = await source.withFile(pair[side], (file) =>
      measureAudio(file, { headSeconds: seconds, name: pair[side], onSamples: listener?.add }),
    )
    const message = `${pair[side]} is partly damaged: ffmpeg says ${facts.complaint}`
    return { facts, listener, problems: facts.complaint ? [{ severity: 'warning', message, ...about }] : [] }
  } catch (error) {
    return { facts: null, problems: [problemFrom(error, about)] }
  }
}

async function readCaption(source: Source, { name: pair, caption: file }: Pair): Promise<Inspected<{ text: string }>> {
  if (file === undefined) return { text: '', problems: [] }
  try {
    const text = decodeCaption(await source.readText(file))
    if (text === undefined) throw new UserError(`${file} is not UTF-8 text`, { hint: 'save it with encoding UTF-8' })
    const empty: Problem = { severity: 'warning', message: `${file} is empty`, file, pair }
    return { text, problems: text === '' ? [empty] : [] }
  } catch (error) {
    return { text: '', problems: [problemFrom(error, { file, pair })] }
  }
}

function planPair(reference: AudioFacts | null, target: AudioFacts | null, options: DatasetOptions): FitPlan {
  if (reference && target) return planFit({ reference: reference.seconds, target: target.seconds }, options)
  const unreadable = [...(reference ? [] : ['reference']), ...(target ? [] : ['target'])]
  return { use: false, reason: `${unreadable.join(' and ')} cannot be read` }
}

function describeSide(path: string, { facts, listener }: Heard, fit: SideFit | undefined): DatasetSide {
  if (!facts) return { path, audio: null }
  const { seconds, sampleRate, channelCount, headPeak } = facts
  const peak = fit?.how === 'trim' ? headPeak : facts.peak
  const peakDbfs = peak === 0 ? null : Math.round(toDbfs(peak) * 100) / 100 || 0 // not −0
  const sound = listener && { sound: listener.sound() }
  return { path, audio: { seconds, sampleRate, channelCount, peakDbfs, silent: peak <= silenceCeiling, ...sound } }
}

const silence = ({ path, audio }: DatasetSide, pair: string): Problem[] =>
  audio?.silent
    ? [
        {
          severity: 'warning',
          message: `${path} is silent in the part that is used`,
          hint: 'leave the pair out, unless silence is meant',
          file: path,
          pair,
        },
      ]
    : []
