/** Measures how one recording lags behind another from windows of both: the lag, and how it drifts. The windows are taken while the recordings are decoded. */
import { mean } from '../../platform/statistics.ts'
import type { OnSamples } from '../decode.ts'
import { readPositions } from '../interpolate.ts'
import { durationOf, sampleCount, type Waveform } from '../waveform.ts'
import { align, sameWaveformThreshold } from './alignment.ts'
import { toMono } from './channels.ts'
import { fitLagLine, type LagLine, type LagPoint, lagAt } from './lag-line.ts'
import { createHeadRecorder } from './measurement.ts'

/** The lag is measured in windows of this length, in seconds: long enough for a search of one second. */
export const windowSeconds = 3
const mostWindows = 16

/** Fewer windows give no line. */
export const shortestTimedSeconds = 3 * windowSeconds

/** A smaller change of the lag over a whole recording is none that can be heard, in seconds. */
export const smallestDrift = 0.005

/** Clocks differ by less than this; a larger change of speed also changes the pitch. */
export const largestDrift = 0.01

/** Windows are this much longer than needed, so that one played at another speed is as long. */
const recordedSeconds = windowSeconds * (1 + largestDrift)

/** A part of a recording: mono, 16 kHz. `start` is in seconds. */
export type TimedWindow = { start: number; waveform: Waveform }

export type WindowRecorder = {
  add: OnSamples
  /** The windows that are complete, in order. */
  windows(): TimedWindow[]
}

/** Keeps windows at the same distance from each other, at most 16 of them, however long the recording is. Two recordings get them at the same times. */
export function createWindowRecorder(): WindowRecorder {
  let recorders: PlacedRecorder[] = []
  let [distance, position] = [windowSeconds, 0]
  return {
    add: (block, format) => {
      const frames = block.length / format.channelCount
      while (recorders.length * distance * format.sampleRate < position + frames) {
        if (recorders.length < mostWindows) {
          recorders.push(createPlacedRecorder(recorders.length * distance, position))
          continue
        }
        recorders = recorders.filter((_, i) => i % 2 === 0)
        distance *= 2
      }
      for (const recorder of recorders) recorder.add(block, format)
      position += frames
    },
    windows: () => recorders.flatMap((recorder) => recorder.read()),
  }
}

/** Keeps windows that begin at the given times, in seconds. */
export function recordWindowsAt(starts: readonly number[]): WindowRecorder {
  const recorders = starts.map((start) => createPlacedRecorder(start, 0))
  return {
    add: (block, format) => {
      for (const recorder of recorders) recorder.add(block, format)
    },
    windows: () => recorders.flatMap((recorder) => recorder.read()),
  }
}

type PlacedRecorder = { add: OnSamples; read(): TimedWindow[] }

/** @param position how many frames were before the first block. */
function createPlacedRecorder(start: number, position: number): PlacedRecorder {
  const recorder = createHeadRecorder(recordedSeconds)
  let [next, first, rate] = [position, 0, 1]
  return {
    add: (block, format) => {
      const frames = block.length / format.channelCount
      rate = format.sampleRate
      first = Math.max(0, Math.round(start * rate))
      const skipped = Math.max(0, first - next)
      next += frames
      if (skipped < frames) recorder.add(block.subarray(skipped * format.channelCount), format)
    },
    read: () => {
      if (next <= first) return []
      const waveform = recorder.waveform()
      const isComplete = durationOf(waveform) >= windowSeconds - 1 / rate
      return isComplete ? [{ start: first / rate, waveform: toMono(waveform) }] : []
    },
  }
}

/** In seconds. While windows drift apart themselves, their lags are inexact. */
const tolerances = [0.005, 0.002, 0.001, 0.001] as const

/** In seconds: less than half a sample at 48 kHz. */
const settledChange = 1e-5

/**
 * The line through the lags of the windows. First it is searched around `guess`, then at other speeds. Undefined where there are too few windows or they do
 * not agree, and for a drift of more than 1 %.
 * @param target windows near the times at which `guess` expects those of the reference.
 * @param seconds the length of the recordings.
 */
export function measureLagLine(
  reference: readonly TimedWindow[],
  target: readonly TimedWindow[],
  { guess, seconds }: { guess: LagLine; seconds: number },
): LagLine | undefined {
  const pairs = pairWindows(reference, target, guess)
  if (pairs.length < 3) return undefined
  return refine(pairs, fitAround(pairs, guess, tolerances[0]), seconds) ?? searchSpeed(pairs, guess, seconds)
}

/** Measures again along the line until it hardly changes; undefined where the windows do not agree with it. */
function refine(pairs: readonly WindowPair[], line: LagLine | undefined, seconds: number): LagLine | undefined {
  let best = line
  for (const tolerance of tolerances.slice(1)) {
    if (!best || Math.abs(best.drift) > largestDrift) return undefined
    const next = fitAround(pairs, best, tolerance)
    if (!next || changeBetween(best, next, seconds) < settledChange) return next
    best = next
  }
  return best
}

/**
 * Whether the lag is the same at the beginning and at the end, and the one given: then there is no line to search.
 * @param lag in seconds.
 */
export function isConstantLag(
  reference: readonly TimedWindow[],
  target: readonly TimedWindow[],
  { lag, seconds }: { lag: number; seconds: number },
): boolean {
  const guess = { lag, drift: 0 }
  const pairs = pairWindows(reference, target, guess)
  const first = firstLag(pairs, guess)
  const last = firstLag([...pairs].reverse(), guess)
  if (!first || !last || last.seconds <= first.seconds) return false
  const drift = ((last.lag - first.lag) / (last.seconds - first.seconds)) * seconds
  return Math.abs(drift) < smallestDrift && Math.abs(first.lag - lag) < smallestDrift
}

type WindowPair = { reference: TimedWindow; target: TimedWindow }

/** Each window of the reference with the one that was taken for it. */
function pairWindows(reference: readonly TimedWindow[], target: readonly TimedWindow[], guess: LagLine): WindowPair[] {
  return reference.flatMap((window) => {
    const expected = window.start + lagAt(guess, window.start)
    const distance = ({ start }: TimedWindow) => Math.min(Math.abs(start - expected), Math.abs(start - window.start))
    const nearest = target.reduce<TimedWindow | undefined>(
      (best, next) => (best && distance(best) <= distance(next) ? best : next),
      undefined,
    )
    return nearest && distance(nearest) < 1 / nearest.waveform.sampleRate + roundedStart
      ? [{ reference: window, target: nearest }]
      : []
  })
}

/** Starts are rounded to whole samples of at least 8 kHz. */
const roundedStart = 1 / 8000

/** Windows without a lag are tried this often. */
const mostTries = 3

const firstLag = (pairs: readonly WindowPair[], guess: LagLine): LagPoint | undefined => {
  for (const pair of pairs.slice(0, mostTries)) {
    const [point] = lagPoint(pair, guess)
    if (point) return point
  }
  return undefined
}

const fitAround = (pairs: readonly WindowPair[], line: LagLine, tolerance: number) =>
  fitLagLine(
    pairs.flatMap((pair) => lagPoint(pair, line)),
    tolerance,
  )

/** Half of the step is a drift that still leaves some match in a window. */
const speedStep = largestDrift / 8
const speeds = Array.from({ length: 17 }, (_, i) => (i - 8) * speedStep).filter((drift) => drift !== 0)

/** How many windows are tried at each speed, and how many speeds in all windows. */
const triedWindows = 2
const triedSpeeds = 3

/** In seconds: the lags in windows that drift apart by half a step. */
const coarseTolerance = 0.012

/** A drift of some per mille blurs the match within a window, so other speeds are tried: first in a few windows, then in all. */
function searchSpeed(pairs: readonly WindowPair[], guess: LagLine, seconds: number): LagLine | undefined {
  const scores = speeds.map((drift) => {
    const line = { ...guess, drift }
    return { line, score: mean(pairs.slice(0, triedWindows).map((pair) => alignAt(pair, line).waveformMatch)) }
  })
  const likely = scores.filter(({ score }) => score >= sameWaveformThreshold).sort((a, b) => b.score - a.score)
  for (const { line } of likely.slice(0, triedSpeeds)) {
    const coarse = fitAround(pairs, line, coarseTolerance)
    const found = refine(pairs, coarse && (fitAround(pairs, coarse, tolerances[0]) ?? coarse), seconds)
    if (found) return found
  }
  return undefined
}

/** The lag in a pair of windows, or an empty list where it cannot be determined. */
function lagPoint(pair: WindowPair, line: LagLine): LagPoint[] {
  const { common, lagSeconds } = alignAt(pair, line)
  if (common !== 'waveform' || lagSeconds === null) return []
  const seconds = pair.reference.start
  return [{ seconds, lag: lagAt(line, seconds) + lagSeconds * (1 + line.drift) }]
}

/** Compares the windows with that of the target where the line expects it, at the speed of the line. */
function alignAt({ reference, target }: WindowPair, line: LagLine) {
  const expected = reference.start + lagAt(line, reference.start)
  return align(reference.waveform, atSpeed(target, expected, 1 + line.drift))
}

/** The window from `start` seconds on, played at `speed`. */
export function atSpeed({ start: recorded, waveform }: TimedWindow, start: number, speed: number): Waveform {
  const { sampleRate, channels } = waveform
  const offset = (start - recorded) * sampleRate
  if (offset === 0 && speed === 1) return waveform
  const length = Math.max(0, Math.floor((sampleCount(waveform) - offset) / speed))
  const positions = { start: offset, step: speed, length }
  return { sampleRate, channels: channels.map((channel) => readPositions(channel, positions)) }
}

const changeBetween = (a: LagLine, b: LagLine, seconds: number) =>
  Math.max(Math.abs(a.lag - b.lag), Math.abs(lagAt(a, seconds) - lagAt(b, seconds)))
