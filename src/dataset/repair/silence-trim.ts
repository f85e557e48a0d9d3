/** Silence at the ends of both sides, and pairs without a clip that has sound. Both are found in the levels that the inspection has measured. */
import { levelsPerSecond, type SoundLevels, silentRms, silentShareWithin } from '../../audio/analysis/measurement.ts'
import { fromDbfs } from '../../audio/waveform.ts'
import { type SideName, sideNames } from '../pair-selection.ts'
import { lateStartSeconds, nearlySilentShare } from '../silence.ts'
import type { SideChange } from './side-change.ts'

/** One side with the cuts that bring it in sync with the other. */
export type CutSide = { change: SideChange; levels: SoundLevels; seconds: number; sampleRate: number }

export type CutPair = Record<SideName, CutSide>

/** How much is trimmed off both sides, in seconds. */
export type Trim = { start: number; end: number }

/** Kept before the first and after the last sound, in seconds. */
const margin = 0.1

/** In seconds; everything is rounded to tenths, which are whole samples at most rates. */
const smallestTrim = 1 / levelsPerSecond

/**
 * The silence of at least half a second that both sides have at the beginning, and at the end. No pair becomes shorter than a clip, so that it is used as
 * before; a shorter one is left as it is.
 * @param options.gainDb what is silent is decided after the gain, so that a second repair finds nothing. @param options.clip the length of a clip in seconds.
 */
export function silenceToTrim(pair: CutPair, { gainDb, clip }: { gainDb: number; clip: number }): Trim {
  const threshold = silentRms / fromDbfs(gainDb)
  const sounds = sideNames.map((side) => soundWithin(pair[side], threshold))
  const length = lengthOf(pair)
  const room = length - clip
  const [first, last] = [Math.min(...sounds.map(({ from }) => from)), Math.max(...sounds.map(({ to }) => to))]
  if (first >= last) return { start: 0, end: 0 } // there is no sound
  const trimmable = (silence: number, room: number) => {
    if (silence < lateStartSeconds - roundingError) return 0
    const trimmed = toTenths(Math.min(silence - margin, room))
    return trimmed >= smallestTrim ? trimmed : 0
  }
  const start = trimmable(first, room)
  return { start, end: trimmable(length - last, room - start) }
}

/** Both sides without the silence. The sides stay in sync; where they were not equally long, they are now if something is trimmed at the end. */
export function trimSides(pair: CutPair, { start, end }: Trim): Record<SideName, SideChange> {
  if (start === 0 && end === 0) return { reference: pair.reference.change, target: pair.target.change }
  const length = lengthOf(pair) - end
  const trimmed = (side: CutSide): SideChange => {
    const { change, sampleRate } = side
    const offset = start * change.step * sampleRate
    const seconds = (end > 0 ? length : secondsOf(side)) - start
    return {
      ...change,
      start: change.start + (change.step === 1 ? Math.round(offset) : offset),
      frames: Math.floor(seconds * sampleRate + roundingError * sampleRate),
    }
  }
  return { reference: trimmed(pair.reference), target: trimmed(pair.target) }
}

export const withChanges = (pair: CutPair, changes: Record<SideName, SideChange>): CutPair => ({
  reference: { ...pair.reference, change: changes.reference },
  target: { ...pair.target, change: changes.target },
})

/** How many clips have sound on both sides. A pair that is shorter than a clip counts as one. */
export function clipsWithSound(pair: CutPair, clip: number): { clips: number; withSound: number } {
  const clips = Math.max(1, Math.floor(lengthOf(pair) / clip + roundingError))
  const hasSound = (side: CutSide, i: number) => silentShare(side, i * clip, (i + 1) * clip) < nearlySilentShare
  const audible = Array.from({ length: clips }, (_, i) => sideNames.every((side) => hasSound(pair[side], i)))
  return { clips, withSound: audible.filter(Boolean).length }
}

/** Of a part of a side, in seconds after the cuts. */
export function silentShare({ change, levels, sampleRate }: CutSide, from: number, to: number): number {
  const inFile = (seconds: number) => change.start / sampleRate + seconds * change.step
  return silentShareWithin(levels, [{ from: inFile(from), to: inFile(to) }])
}

/** From the first sound to the end of the last one, in seconds after the cuts. */
export function soundWithin(side: CutSide, threshold = silentRms): { from: number; to: number } {
  const { change, levels, sampleRate } = side
  const cut = (seconds: number) => (seconds - change.start / sampleRate) / change.step
  const length = secondsOf(side)
  let [from, to] = [Number.POSITIVE_INFINITY, 0]
  levels.loudest.forEach((level, i) => {
    const begin = Math.max(0, cut(i / levelsPerSecond))
    const end = Math.min(length, cut((i + 1) / levelsPerSecond))
    if (level < threshold || end <= begin) return
    from = Math.min(from, begin)
    to = end
  })
  return { from, to }
}

/** In seconds: that of the shorter side after the cuts. */
export const lengthOf = (pair: CutPair) => Math.min(...sideNames.map((side) => secondsOf(pair[side])))

export const secondsOf = ({ change, seconds, sampleRate }: CutSide) =>
  change.frames === undefined ? seconds : change.frames / sampleRate

const roundingError = 1e-6

const toTenths = (seconds: number) => Math.floor(seconds * levelsPerSecond + roundingError) / levelsPerSecond
