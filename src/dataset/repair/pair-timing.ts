/** Measures how the target of a pair lags behind its reference, over the whole recordings: the lag, and how it drifts. */
import { align } from '../../audio/analysis/alignment.ts'
import { toMono } from '../../audio/analysis/channels.ts'
import { fitLagLine, type LagLine, type LagPoint, lagAt } from '../../audio/analysis/lag-line.ts'
import { createHeadRecorder, type HeadRecorder } from '../../audio/analysis/measurement.ts'
import { measureAudio, type OnSamples, type SampleFormat } from '../../audio/decode.ts'
import { readPositions } from '../../audio/interpolate.ts'
import { sampleCount, type Waveform } from '../../audio/waveform.ts'
import type { Pair } from '../dataset-file.ts'
import type { PairDurations } from '../fit-plan.ts'
import type { Source } from '../source.ts'

export type PairTiming = {
  /** Undefined where the recordings are too short, or do not agree on one. */
  line: LagLine | undefined
  /** The largest absolute sample of both recordings. */
  peak: number
}

/** The lag is measured in windows of this length, long enough for a search of one second. */
const windowSeconds = 3
const mostWindows = 12

/** A smaller change of the lag over a whole recording is none that can be heard, in seconds. */
export const smallestDrift = 0.005

/** Clocks differ by less than this; a larger change of speed also changes the pitch. */
const largestDrift = 0.01

/** While the windows drift apart themselves, their lags are inexact. */
const tolerances = [0.005, 0.002, 0.001, 0.001] as const

/**
 * Decodes the reference once and the target several times: each time its windows are taken where the line measured before expects them, and played at
 * its speed, so that also a lag of several seconds is found, to less than a sample.
 */
export async function measurePairTiming(source: Source, pair: Pair, durations: PairDurations): Promise<PairTiming> {
  const starts = windowStarts(Math.min(durations.reference, durations.target))
  const reference = await recordWindows(source, pair.reference, starts, windowSeconds)
  let target = await recordWindows(source, pair.target, starts, windowSeconds)
  const peak = Math.max(reference.peak, target.peak)
  let line: LagLine = { lag: 0, drift: 0 }
  for (const [i, tolerance] of tolerances.entries()) {
    const measure = (references: readonly RecordedWindow[]) =>
      fitLagLine(lagPoints(starts, references, target.windows, line), tolerance)
    const next = measure(reference.windows) ?? (i === 0 ? measure(reference.windows.map(middleOf)) : undefined)
    if (!next || Math.abs(next.drift) > largestDrift) return { line: undefined, peak }
    const isSettled = changeBetween(line, next, durations.reference) < settledChange
    line = next
    if (isSettled || Math.abs(next.drift) * durations.reference < smallestDrift) return { line, peak }
    const expected = starts.map((start) => start + lagAt(next, start))
    target = await recordWindows(source, pair.target, expected, windowSeconds * (1 + largestDrift))
  }
  return { line, peak }
}

/** In seconds: less than half a sample at 48 kHz. */
const settledChange = 1e-5

const changeBetween = (a: LagLine, b: LagLine, seconds: number) =>
  Math.max(Math.abs(a.lag - b.lag), Math.abs(lagAt(a, seconds) - lagAt(b, seconds)))

/** Whole seconds, which are whole samples at any rate. Empty where the recordings are too short for a line. */
function windowStarts(seconds: number): number[] {
  const count = Math.min(mostWindows, Math.floor(seconds / windowSeconds))
  if (count < 3) return []
  return Array.from({ length: count }, (_, i) => Math.floor((i * (seconds - windowSeconds)) / (count - 1)))
}

/** A mono window at 16 kHz that begins at `start` seconds; undefined where the recording ends before. */
type RecordedWindow = { waveform: Waveform; start: number } | undefined

async function recordWindows(source: Source, path: string, starts: readonly number[], seconds: number) {
  const recorders = starts.map((start) => createWindowRecorder(start, seconds))
  const { peak } = await source.withFile(path, (file) =>
    measureAudio(file, {
      headSeconds: 0,
      name: path,
      limits: source.limits,
      signal: source.signal,
      onSamples: (block, format) => {
        for (const recorder of recorders) recorder.add(block, format)
      },
    }),
  )
  return { windows: recorders.map((recorder) => recorder.read()), peak }
}

function createWindowRecorder(start: number, seconds: number): { add: OnSamples; read(): RecordedWindow } {
  let recorder: HeadRecorder | undefined
  let [position, firstFrame, rate] = [0, 0, 1]
  return {
    add: (block, format: SampleFormat) => {
      const frames = block.length / format.channelCount
      rate = format.sampleRate
      firstFrame = Math.max(0, Math.round(start * rate))
      const skipped = firstFrame - position
      position += frames
      if (skipped >= frames) return
      recorder ??= createHeadRecorder(seconds)
      recorder.add(skipped > 0 ? block.subarray(skipped * format.channelCount) : block, format)
    },
    read: () => recorder && { waveform: toMono(recorder.waveform()), start: firstFrame / rate },
  }
}

/** The lag in each window in which it can be determined. @param line where and how fast the windows of the target were taken. */
function lagPoints(
  starts: readonly number[],
  reference: readonly RecordedWindow[],
  target: readonly RecordedWindow[],
  line: LagLine,
): LagPoint[] {
  return starts.flatMap((seconds, i): LagPoint[] => {
    const [first, second] = [reference[i], target[i]]
    if (!first || !second) return []
    const expected = seconds + lagAt(line, seconds)
    const { common, lagSeconds } = align(first.waveform, atSpeed(second, expected, 1 + line.drift))
    if (common !== 'waveform' || lagSeconds === null) return []
    return [{ seconds, lag: expected + lagSeconds * (1 + line.drift) - seconds }]
  })
}

/** Without the beginning and the end, between which the lag changes most where there is a drift. */
function middleOf(window: RecordedWindow): RecordedWindow {
  if (!window) return undefined
  const { sampleRate, channels } = window.waveform
  const weight = (i: number, length: number) => Math.max(0, Math.cos((Math.PI * (2 * i - length)) / length)) ** 2
  return {
    ...window,
    waveform: { sampleRate, channels: channels.map((channel) => channel.map((x, i) => x * weight(i, channel.length))) },
  }
}

/** The window from `start` seconds on, played at `speed`. */
function atSpeed(window: NonNullable<RecordedWindow>, start: number, speed: number): Waveform {
  const { sampleRate, channels } = window.waveform
  const offset = (start - window.start) * sampleRate
  if (offset === 0 && speed === 1) return window.waveform
  const length = Math.floor((sampleCount(window.waveform) - offset) / speed)
  const positions = { start: offset, step: speed, length }
  return { sampleRate, channels: channels.map((channel) => readPositions(channel, positions)) }
}
