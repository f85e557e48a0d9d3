/** Pairs from recordings of one side only: the other side is the recording with an effect. */
import { existsSync } from 'node:fs'
import { comparePair, type PairComparison } from '../audio/analysis/pair-comparison.ts'
import { decodeAudio } from '../audio/decode.ts'
import { checkFilterGraph } from '../audio/effects/filter-graph.ts'
import { drawEffect, type Strengths } from '../audio/effects/presets.ts'
import {
  type Convert,
  decodeToFile,
  longestTail,
  runStages,
  type SoundFile,
  type Stage,
  type StageOptions,
} from '../audio/effects/stages.ts'
import { FfmpegError, FfmpegTimeout, findFfmpeg } from '../audio/ffmpeg.ts'
import { deinterleave, fromDbfs, interleave, silencePeak, toDbfs, toStereo } from '../audio/waveform.ts'
import { defaultLimits, type Limits, raiseLimitHint } from '../config/limits.ts'
import { effectPresets } from '../config/parameters.ts'
import type { MakePairsSettings } from '../config/settings.ts'
import { UserError } from '../platform/errors.ts'
import type { OutputFile } from '../platform/output-file.ts'
import { createReporter, type ProgressEvent, type Reporter, type RunOptions } from '../platform/progress.ts'
import { randomFor } from '../platform/random.ts'
import { isNoRoom, makeTempFolder, type TempFolder } from '../platform/temp-folder.ts'
import { countText } from '../platform/text.ts'
import { decodeCaption } from './caption.ts'
import { type CleanFile, openCleanFiles } from './clean-files.ts'
import { madePairsRecord } from './dataset-file.ts'
import { lagText, tolerableLagSeconds, unchangedDecibels } from './findings.ts'
import { type Problem, problemFrom } from './problem.ts'
import { writeChanged } from './repair/side-change.ts'
import { openSource } from './source.ts'
import { createZip, type ZipWriter } from './zip-writer.ts'

/** The comment of the zip, so that the next run may replace it. */
export const madePairsMarker = 'ltx-a2a make-pairs'

export type MadePair = {
  name: string
  /** The clean recording. */
  source: string
  strengths: Strengths
  /** Of both sides, so that neither is above full scale. */
  gainDb: number
}

/** What the sides of a pair have become: how different they are, in decibels, and how much later the one with the effect is. */
type MadeSides = Pick<PairComparison, 'distance' | 'lagSeconds'>

export type MadePairs = Pick<MakePairsSettings, 'effect' | 'direction' | 'seed'> & {
  pairs: MadePair[]
  /** Recordings that could not be used. */
  problems: Problem[]
}

/**
 * Makes a pair of each clean recording and writes them as a zip. A recording that cannot be used becomes a problem, and the others go on.
 * @throws UserError where the effect does not work or no recording can be used; Interrupted when the signal was aborted. Then nothing is written.
 */
export async function makePairs(
  settings: MakePairsSettings,
  output: OutputFile,
  { limits, ...runOptions }: RunOptions<ProgressEvent> & { limits?: Limits | undefined } = {},
): Promise<MadePairs> {
  const reporter = createReporter<ProgressEvent>(runOptions)
  const { effect, direction, seed } = settings
  const made: MadePairs = { effect, direction, seed, pairs: [], problems: [] }
  await findFfmpeg() // rather than report every recording
  if (!(effectPresets as readonly string[]).includes(effect)) await checkFilterGraph(effect)
  const clean = await openCleanFiles(settings.clean, { limits, signal: runOptions.signal })
  for (const location of clean.withPairs)
    reporter.warn(
      `${location} has pairs already: each of their sides is taken for a clean recording`,
      'give recordings of one side',
    )
  try {
    await output.fill(async (path) => {
      const zip = createZip(path, runOptions.signal)
      try {
        await addPairs(zip, clean.files, made, { settings, limits, reporter })
        await zip.finish(madePairsMarker)
        reporter.throwIfAborted() // the zip would take its place
      } finally {
        await zip.close()
      }
    }, runOptions.signal)
  } finally {
    await clean.close()
  }
  await reporter.settled()
  return made
}

/** What an existing zip says of its pairs. Undefined where there is none, or it was not written by `makePairs`. */
export async function readMadePairs(path: string): Promise<Omit<MadePairs, 'problems'> | undefined> {
  if (!existsSync(path)) return undefined
  try {
    const source = await openSource(path)
    try {
      return JSON.parse(Buffer.from(await source.readText(madePairsRecord)).toString('utf8'))
    } finally {
      await source.close()
    }
  } catch {
    return undefined // of another kind, which is refused where it is replaced
  }
}

type MakeOptions = { settings: MakePairsSettings; limits: Limits | undefined; reporter: Reporter }

async function addPairs(zip: ZipWriter, files: readonly CleanFile[], made: MadePairs, options: MakeOptions) {
  const { reporter } = options
  const stage = reporter.stage('Making pairs', files.length, 'recordings')
  const unchanged: string[] = []
  for (const [i, file] of files.entries()) {
    reporter.throwIfAborted()
    const folder = await makeTempFolder() // for one pair, and removed after it
    try {
      const { pair, distance } = await addPair(zip, file, folder, options, made.pairs.length === 0)
      made.pairs.push(pair)
      if (distance !== null && distance < unchangedDecibels) unchanged.push(`${pair.name} (${distance.toFixed(1)} dB)`)
    } catch (error) {
      if (error instanceof EffectError || isNoRoom(error)) throw error
      made.problems.push(problemFrom(error, { file: file.path }))
    } finally {
      await folder.remove()
    }
    stage.update(i + 1)
  }
  if (made.pairs.length === 0) throw noPair(made.problems)
  const { effect, direction, seed, pairs } = made
  zip.addBytes(
    madePairsRecord,
    `${JSON.stringify({ madeBy: madePairsMarker, effect, direction, seed, pairs }, null, 2)}\n`,
  )
  stage.finish(countText(pairs.length, 'pair'))
  if (unchanged.length > 0)
    reporter.warn(
      `the sides of ${countText(unchanged.length, 'pair')} sound almost the same at the 16 kHz of the model: ${unchanged.join(', ')}`,
      'leave these recordings out, or use a stronger effect',
    )
}

function noPair(problems: readonly Problem[]) {
  const [first] = problems
  if (!first) throw new Error('there were no recordings')
  const others = problems.length > 1 ? ` (and ${problems.length - 1} more like this)` : ''
  return new UserError(`no recording can be used: ${first.message}${others}`, { hint: first.hint })
}

/** The effect itself is wrong, so that no recording can be used. */
class EffectError extends UserError {}

async function addPair(
  zip: ZipWriter,
  file: CleanFile,
  folder: TempFolder,
  { settings, limits, reporter }: MakeOptions,
  isFirst: boolean,
): Promise<{ pair: MadePair; distance: number | null }> {
  const { effect, seed, snr } = settings
  const { name, path } = file
  const caption = await readCaption(file, reporter)
  const options = { name: path, limits, signal: reporter.signal }
  const clean = await file.withFile((local) => decodeToFile(local, { ...options, folder, convert: mixToTwo }))
  if (clean.level.peak <= silencePeak) throw new UserError(`${path} is silent`, { hint: 'leave it out' })
  const drawn = drawEffect(effect, randomFor(seed, 'strengths', name), { snr, ...clean.level })
  const stages = drawn.stages(randomFor(seed, 'noise', name))
  const apply = async () => {
    const changed = await applyEffect(clean, stages, effect, { ...options, folder })
    const sides = await compareMade(clean, changed, limits)
    if (drawn.isGraph) refuseDelay(sides, effect, path)
    return { changed, sides }
  }
  const { changed, sides } = await apply().catch((error) => {
    // what fails for the first recording fails for all of them
    if (isFirst && error instanceof UserError)
      throw new EffectError(error.message, { hint: error.hint, cause: error.cause })
    throw error
  })
  const levelDb = drawn.keepsLevel ? toDbfs(clean.level.rms) - toDbfs(changed.level.rms) : 0
  const gainDb = gainBelowFullScale(Math.max(clean.level.peak, changed.level.peak * fromDbfs(levelDb)))
  const write = async ({ path: from, level }: SoundFile, gainDb: number) => {
    const written = folder.newFile('.wav')
    const change = { start: 0, step: 1, frames: clean.level.frames, gainDb }
    await writeChanged(from, written, change, { ...options, peak: level.peak })
    return written
  }
  // both, before one of them is in the zip
  const written = { clean: await write(clean, gainDb), changed: await write(changed, gainDb + levelDb) }
  const isRestored = settings.direction === 'restore'
  await zip.addFile(`${name}_start.wav`, isRestored ? written.changed : written.clean)
  await zip.addFile(`${name}_end.wav`, isRestored ? written.clean : written.changed)
  if (caption) zip.addBytes(`${name}.txt`, caption)
  return { pair: { name, source: path, strengths: drawn.strengths, gainDb }, distance: sides.distance }
}

/** How much of the beginning is compared, in seconds. */
const comparedSeconds = 13

async function compareMade(clean: SoundFile, changed: SoundFile, limits: Limits | undefined): Promise<MadeSides> {
  const [before, after] = [
    await decodeAudio(clean.path, { maxSeconds: comparedSeconds, limits }),
    await decodeAudio(changed.path, { maxSeconds: comparedSeconds, limits }),
  ]
  return comparePair(before, after).comparison
}

/** @throws UserError where a filter graph delays the recording by so much that the sides would be out of sync. */
function refuseDelay({ lagSeconds }: MadeSides, effect: string, path: string) {
  if (lagSeconds === null || Math.abs(lagSeconds) < tolerableLagSeconds) return
  throw new UserError(`the effect ${effect} moves the sound of ${path} by ${lagText(lagSeconds)}`, {
    hint: 'both sides of a pair must be in sync: use filters that do not delay, or cut the delay off with atrim and asetpts',
  })
}

/** The bytes of the caption, undefined where there is none or it is empty. @throws UserError for a caption that no training would read. */
async function readCaption({ caption }: CleanFile, reporter: Reporter): Promise<Uint8Array | undefined> {
  if (!caption) return undefined
  const bytes = await caption.read()
  if (decodeCaption(bytes, caption.path) !== '') return bytes
  reporter.warn(`${caption.path} is empty`, 'write the caption into it, or remove it')
  return undefined
}

/** As the training does: more than two channels are mixed to stereo. */
const mixToTwo: Convert = (block, { sampleRate, channelCount }) => {
  if (channelCount <= 2) return { samples: block, channelCount }
  return { samples: interleave(toStereo(deinterleave(block, channelCount, sampleRate))), channelCount: 2 }
}

/** In seconds. Filters may keep or add a little at their end. */
const mostChange = 0.02

/** @throws UserError with what ffmpeg says, and where the effect takes too long, changes the length or leaves nothing. */
async function applyEffect(
  clean: SoundFile,
  stages: readonly Stage[],
  effect: string,
  { name: path, ...options }: StageOptions,
): Promise<SoundFile> {
  const name = `${path} with the effect ${effect}`
  const changed = await runStages(clean, stages, { ...options, name }).catch((cause) => {
    const { limits = defaultLimits } = options
    const mostSeconds = limits['decoding-seconds']
    if (cause instanceof FfmpegTimeout)
      throw new UserError(`ffmpeg takes more than ${mostSeconds} s to apply the effect ${effect} to ${path}`, {
        hint: `use another effect, or ${raiseLimitHint('decoding-seconds', 2 * mostSeconds)}`,
      })
    if (!(cause instanceof FfmpegError)) throw cause
    throw new UserError(`ffmpeg cannot apply the effect ${effect} to ${path}: ${cause.reason}`, {
      hint: `use ${effectPresets.join(', ')}, or a filter graph with one input and one output`,
    })
  })
  const [seconds, all] = [changed, clean].map(({ level }) => level.frames / level.sampleRate) as [number, number]
  if (Math.abs(seconds - all) > mostChange) {
    const orMore = seconds > all + longestTail - mostChange ? ' or more' : ''
    throw new UserError(
      `the effect ${effect} makes ${seconds.toFixed(2)} s${orMore} of the ${all.toFixed(2)} s of ${path}`,
      { hint: 'both sides of a pair must have the same length: use filters that keep it' },
    )
  }
  if (changed.level.peak <= silencePeak)
    throw new UserError(`the effect ${effect} leaves nothing of ${path}`, { hint: 'use a weaker effect' })
  return changed
}

/** In dBFS, where a side is above full scale. */
const loweredPeak = -1

const gainBelowFullScale = (peak: number) => (peak > 1 ? loweredPeak - toDbfs(peak) : 0)
