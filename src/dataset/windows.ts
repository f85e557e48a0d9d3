/** Clips from all of a recording: consecutive windows, each as long as a clip. Windows of both sides of a pair begin at the same times. */
import type { OnSamples } from '../audio/decode.ts'
import {
  concatenateWaveforms,
  deinterleave,
  firstSamples,
  fromDbfs,
  normalizePeak,
  peak,
  sampleCount,
  silencePeak,
  toStereo,
  type Waveform,
} from '../audio/waveform.ts'
import type { Random } from '../platform/random.ts'
import { type ClipStore, clipSampleRate, type StoredClip, type StoredRecording, trimClip } from './clips.ts'
import type { DatasetOptions } from './fit-plan.ts'

/** The windows of one side of a pair. */
export type SideWindows = {
  add: OnSamples
  /** The peak of each window. */
  peaks: number[]
  /** The highest peak of a window that counts as silent. */
  silence(): number
  /** The windows as clips, if they are stored. */
  clips: StoredClip[]
}

/**
 * 50 dB: a window that is so much quieter than the loudest of its side is a pause. Its peak would be normalized, and its noise would be as loud as the rest.
 */
const pauseShare = fromDbfs(-50)

/** @param store where to put the windows as clips; without it they are only measured. */
export function createSideWindows(
  options: Pick<DatasetOptions, 'seconds' | 'normalize'>,
  store: Pick<ClipStore, 'store'> | undefined,
): SideWindows {
  const peaks: number[] = []
  const clips: StoredClip[] = []
  const add = createWindowCutter(options.seconds, (window, i) => {
    const clip = trimClip(window, { ...options, normalize: false })
    peaks[i] = peak(clip)
    if (store) clips[i] = store.store(options.normalize ? normalizePeak(clip) : clip)
  })
  return { add, peaks, clips, silence: () => Math.max(silencePeak, pauseShare * Math.max(0, ...peaks)) }
}

/**
 * A clip that begins at a random place of a recording. Places where a side is silent are drawn again.
 * @returns undefined where none of many places has sound on both sides.
 */
export function drawClip(
  { reference, target }: StoredRecording,
  random: Random,
  options: Pick<DatasetOptions, 'seconds' | 'normalize'>,
): { reference: Waveform; target: Waveform } | undefined {
  const length = Math.floor(options.seconds * clipSampleRate)
  const last = Math.min(reference.sound.samples(), target.sound.samples()) - length
  for (let attempt = 0; attempt < mostAttempts; attempt++) {
    const start = Math.floor(random.uniform() * (last + 1))
    const [from, to] = [reference, target].map(({ sound }) => sound.read(start, length)) as [Waveform, Waveform]
    if (peak(from) > reference.silence && peak(to) > target.silence)
      return { reference: trimClip(from, options), target: trimClip(to, options) }
  }
  return undefined
}

const mostAttempts = 20

/** The windows in which both sides have sound, in order. @param count how many there are on both sides. */
export const audibleWindows = (reference: SideWindows, target: SideWindows, count: number): number[] =>
  Array.from({ length: count }, (_, i) => i).filter((i) =>
    [reference, target].every(({ peaks, silence }) => (peaks[i] as number) > silence()),
  )

/**
 * Cuts a recording into windows while it is decoded; no more than one of them is in memory. What remains at the end is not used.
 * @param seconds the length of a window.
 * @param onWindow gets each window in stereo, at the recording's own rate.
 */
export function createWindowCutter(seconds: number, onWindow: (window: Waveform, index: number) => void): OnSamples {
  let blocks: Waveform[] = []
  let position = 0 // of the next sample
  let index = 0
  return (block, { sampleRate, channelCount }) => {
    const length = Math.floor(seconds * sampleRate + roundingError)
    let rest = toStereo(deinterleave(block, channelCount, sampleRate))
    while (sampleCount(rest) > 0) {
      const start = windowStart(index, seconds, sampleRate)
      const skipped = Math.min(sampleCount(rest), Math.max(0, start - position))
      const taken = Math.min(sampleCount(rest) - skipped, start + length - position - skipped)
      if (taken > 0) blocks.push(firstSamples(from(rest, skipped), taken))
      position += skipped + taken
      rest = from(rest, skipped + taken)
      if (position < start + length) continue
      onWindow(concatenateWaveforms(blocks), index)
      blocks = []
      index++
    }
  }
}

/** The first sample of a window. */
const windowStart = (index: number, seconds: number, sampleRate: number) =>
  Math.floor(index * seconds * sampleRate + roundingError)

/** In samples, more than that of the products above. */
const roundingError = 1e-6

const from = ({ sampleRate, channels }: Waveform, start: number): Waveform => ({
  sampleRate,
  channels: channels.map((channel) => channel.subarray(start)),
})
