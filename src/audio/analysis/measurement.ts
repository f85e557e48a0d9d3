/** Measures a recording while it is decoded, block by block: its loudness and defects, and its beginning for a closer look. */
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
  /** Stereo, at the file's own rate. @throws Error when nothing was added. */
  head(): Waveform
  /** To be called once. */
  fingerprint(): Fingerprint
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
  const head = createHeadRecorder(headSeconds)
  const fingerprinter = createFingerprinter(fingerprintSeconds)
  return {
    add: (block, format) => {
      meters ??= {
        loudness: createLoudnessMeter(format),
        defects: createDefectMeter(format, isLossy),
        channels: createChannelMeter(format.channelCount),
      }
      for (const meter of Object.values(meters)) meter.add(block)
      head.add(block, format)
      fingerprinter.add(block, format)
    },
    read: () => {
      if (!meters) throw new Error('nothing was measured')
      const { channelsCancel, silentChannels } = meters.channels.read()
      return { ...meters.defects.read(), channelsCancel, silentChannels, loudness: meters.loudness.integrated() }
    },
    head: head.waveform,
    fingerprint: fingerprinter.read,
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
}

/** Lossy codecs round a clipped peak a little. */
const fullScale = 0.999
/** Two successive samples at full scale or of the same value can be a peak that is not clipped. */
const clippedSamples = 3

const windowsPerSecond = 50
/** −60 dBFS: the noise of a quiet room in a good recording. */
const silentRms = 0.001

function createDefectMeter({ sampleRate, channelCount }: SampleFormat, isLossy: boolean): DefectMeter {
  const runs = new Int32Array(channelCount) // of clipped samples, per channel
  const previous = new Float64Array(channelCount)
  const sums = new Float64Array(channelCount)
  const windowFrames = Math.round(sampleRate / windowsPerSecond)
  const silentWindows: boolean[] = []
  let [clippedPlaces, frames, windowPower, inWindow] = [0, 0, 0, 0]
  /** A float file may exceed full scale: only a flat top is clipped there. A lossy codec leaves no top flat, and raises those at full scale a little. */
  const nextRun = (run: number, sample: number, before: number) => {
    const level = Math.abs(sample)
    if (level < fullScale) return 0
    return level <= 1 || isLossy || sample === before ? run + 1 : 1
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
      frames++
      if (++inWindow < windowFrames) continue
      silentWindows.push(Math.sqrt(windowPower / windowFrames / channelCount) < silentRms)
      windowPower = inWindow = 0
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
  return { add, read }
}

/** How many values at the start are true. */
function countLeading(values: readonly boolean[]): number {
  const first = values.indexOf(false)
  return first < 0 ? values.length : first
}
