/** Measures a recording while it is decoded, block by block: its loudness and defects, and its beginning for a closer look. */
import { sum } from '../../platform/statistics.ts'
import type { OnSamples, SampleFormat } from '../decode.ts'
import { concatenateWaveforms, deinterleave, firstSamples, sampleCount, toStereo, type Waveform } from '../waveform.ts'
import { type ChannelMeasurements, type ChannelMeter, createChannelMeter } from './channels.ts'
import { createFingerprinter, type Fingerprint } from './fingerprint.ts'
import { createLoudnessMeter, type LoudnessMeter } from './loudness.ts'

/** `loudness` is in LUFS; `null` for silence. */
export type SoundMeasurements = Defects & ChannelMeasurements & { loudness: number | null }

export type SideMeter = {
  /** The format is that of the first call. */
  add: OnSamples
  /** Of everything that was added. @throws Error when nothing was. */
  read(): SoundMeasurements
  /** From half a second before the first sound on. @throws Error when nothing was added. */
  head(): Head
  levels(): SoundLevels
  /** To be called once. */
  fingerprint(): Fingerprint
}

/** The beginning of a recording: stereo, at the file's own rate. `start` is where in the recording it begins, in seconds. */
export type Head = { waveform: Waveform; start: number }

/** In each tenth of a second: the highest root mean square of 20 ms, and how many of its 5 windows of 20 ms are not below −60 dBFS. */
export type SoundLevels = { loudest: Float32Array; audible: Uint8Array }

/** In seconds. */
export type TimeRange = { from: number; to: number }

/** The share of windows of 20 ms below −60 dBFS within these ranges, 0 to 1; their ends are rounded to tenths of a second. */
export function silentShareWithin({ audible }: SoundLevels, ranges: readonly TimeRange[]): number {
  const counts = ranges.flatMap(({ from, to }) => [
    ...audible.subarray(Math.max(0, Math.round(from * levelsPerSecond)), Math.max(0, Math.round(to * levelsPerSecond))),
  ])
  return counts.length > 0 ? 1 - sum(counts) / (windowsPerLevel * counts.length) : 0
}

/**
 * A meter for one side of a pair.
 * @param headSeconds how much of the beginning to keep.
 * @param options.fingerprintSeconds how much of it the fingerprint describes.
 * @param options.isLossy whether the samples went through a lossy codec, see `isLossy`.
 */
export function createSideMeter(
  headSeconds: number,
  { fingerprintSeconds = headSeconds, isLossy = false }: { fingerprintSeconds?: number; isLossy?: boolean } = {},
): SideMeter {
  let meters: { loudness: LoudnessMeter; defects: DefectMeter; channels: ChannelMeter } | undefined
  const fingerprinter = createFingerprinter(fingerprintSeconds)
  const head = createSoundRecorder(headSeconds)
  const measured = () => {
    if (!meters) throw new Error('nothing was measured')
    return meters
  }
  return {
    add: (block, format) => {
      meters ??= {
        loudness: createLoudnessMeter(format),
        defects: createDefectMeter(format, isLossy),
        channels: createChannelMeter(format.channelCount),
      }
      for (const meter of Object.values(meters)) meter.add(block)
      head.add(block, format, meters.defects.firstSound())
      fingerprinter.add(block, format)
    },
    read: () => {
      const { channels, defects, loudness } = measured()
      const { channelsCancel, silentChannels } = channels.read()
      return { ...defects.read(), channelsCancel, silentChannels, loudness: loudness.integrated() }
    },
    head: head.read,
    levels: () => measured().defects.levels(),
    fingerprint: fingerprinter.read,
  }
}

/** How much is kept before the first sound, in seconds. */
const leadSeconds = 0.5

/** Keeps the first part of a recording that has sound, or the beginning where there is none. What comes before is silent for at least half a second. */
function createSoundRecorder(seconds: number) {
  let recorder = createHeadRecorder(seconds)
  let lead: { at: number; block: Float32Array }[] = [] // the last blocks before the first sound
  let [position, start, isStarted] = [0, 0, false]
  return {
    /** @param firstSound the frame in which the first sound begins, where it is known. */
    add: (block: Float32Array, format: SampleFormat, firstSound: number | undefined) => {
      const { sampleRate, channelCount } = format
      const at = position
      position += block.length / channelCount
      if (isStarted) return recorder.add(block, { sampleRate, channelCount })
      recorder.add(block, format)
      lead.push({ at, block })
      const earliest = (firstSound ?? position - sampleRate / windowsPerSecond) - leadSeconds * sampleRate
      while (lead[1] && lead[1].at <= earliest) lead.shift()
      if (firstSound === undefined) return
      isStarted = true
      if (earliest > 0) {
        const first = Math.floor(earliest)
        start = first / sampleRate
        recorder = createHeadRecorder(seconds)
        for (const { at, block } of lead) recorder.add(block.subarray(Math.max(0, first - at) * channelCount), format)
      }
      lead = []
    },
    read: (): Head => ({ waveform: recorder.waveform(), start }),
  }
}

export type HeadRecorder = {
  add: OnSamples
  /** At the file's own rate. @throws Error when nothing was added. */
  waveform(): Waveform
}

/**
 * Keeps the beginning of a recording in stereo while it is decoded. One block after the other is converted, so that a file with many channels takes no
 * more memory than the result.
 * @param seconds how much to keep.
 */
export function createHeadRecorder(seconds: number): HeadRecorder {
  const blocks: Waveform[] = []
  let kept = 0
  return {
    add: (block, { sampleRate, channelCount }) => {
      const missing = Math.ceil(seconds * sampleRate) - kept
      if (missing <= 0) return
      const mixed = toStereo(firstSamples(deinterleave(block, channelCount, sampleRate), missing))
      kept += sampleCount(mixed)
      blocks.push(mixed)
    },
    waveform: () => concatenateWaveforms(blocks),
  }
}

/** What goes wrong while recording and exporting. */
export type Defects = {
  /** How many times three or more successive samples of a channel are at full scale, or at one and the same value above it. */
  clippedPlaces: number
  /** The share of windows of 20 ms that are below −60 dBFS, 0 to 1, and how long that lasts at the start and at the end. */
  silentShare: number
  silentStartSeconds: number
  silentEndSeconds: number
  /** The mean sample of the channel whose mean is furthest from zero. */
  offset: number
}

type DefectMeter = {
  /** Interleaved samples, whole frames. */
  add(block: Float32Array): void
  read(): Defects
  levels(): SoundLevels
  /** The first frame of the first window that is not silent. */
  firstSound(): number | undefined
}

/** Lossy codecs round a clipped peak a little. */
const fullScale = 0.999
/** Two successive samples at full scale or of the same value can be a peak that is not clipped. */
const clippedSamples = 3

const windowsPerSecond = 50
/** −60 dBFS: the noise of a quiet room in a good recording. */
export const silentRms = 0.001
export const levelsPerSecond = 10
const windowsPerLevel = windowsPerSecond / levelsPerSecond

function createDefectMeter({ sampleRate, channelCount }: SampleFormat, isLossy: boolean): DefectMeter {
  const runs = new Int32Array(channelCount) // of clipped samples, per channel
  const previous = new Float64Array(channelCount)
  const sums = new Float64Array(channelCount)
  const silentWindows: boolean[] = []
  const [loudest, audible]: [number[], number[]] = [[], []] // of each tenth of a second
  let firstSound: number | undefined
  let [clippedPlaces, frames, windowPower, windowStart] = [0, 0, 0, 0]
  /** A float file may exceed full scale: only a flat top is clipped there. A lossy codec leaves no top flat, and raises those at full scale a little. */
  const nextRun = (run: number, sample: number, before: number) => {
    const level = Math.abs(sample)
    if (level < fullScale) return 0
    return level <= 1 || isLossy || sample === before ? run + 1 : 1
  }
  const addWindow = (rms: number) => {
    const level = Math.floor(silentWindows.length / windowsPerLevel)
    const isSilent = rms < silentRms
    loudest[level] = Math.max(loudest[level] ?? 0, rms)
    audible[level] = (audible[level] ?? 0) + (isSilent ? 0 : 1)
    if (!isSilent) firstSound ??= windowStart
    silentWindows.push(isSilent)
  }
  const add = (block: Float32Array) => {
    for (let at = 0; at < block.length; at += channelCount) {
      for (let c = 0; c < channelCount; c++) {
        const sample = block[at + c] as number
        sums[c] = (sums[c] as number) + sample
        windowPower += sample * sample
        const run = nextRun(runs[c] as number, sample, previous[c] as number)
        if (run === clippedSamples) clippedPlaces++
        runs[c] = run
        previous[c] = sample
      }
      if (++frames < Math.round(((silentWindows.length + 1) * sampleRate) / windowsPerSecond)) continue
      addWindow(Math.sqrt(windowPower / (frames - windowStart) / channelCount))
      windowStart = frames
      windowPower = 0
    }
  }
  const read = (): Defects => {
    const offsets = Array.from(sums, (sum) => sum / Math.max(frames, 1))
    return {
      clippedPlaces,
      silentShare: silentWindows.length > 0 ? silentWindows.filter(Boolean).length / silentWindows.length : 0,
      silentStartSeconds: countLeading(silentWindows) / windowsPerSecond,
      silentEndSeconds: countLeading([...silentWindows].reverse()) / windowsPerSecond,
      offset: offsets.reduce((furthest, offset) => (Math.abs(offset) > Math.abs(furthest) ? offset : furthest), 0),
    }
  }
  return {
    add,
    read,
    levels: () => ({ loudest: Float32Array.from(loudest), audible: Uint8Array.from(audible) }),
    firstSound: () => firstSound,
  }
}

/** How many values at the start are true. */
function countLeading(values: readonly boolean[]): number {
  const first = values.indexOf(false)
  return first < 0 ? values.length : first
}
