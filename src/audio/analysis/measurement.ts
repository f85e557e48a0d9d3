/** What goes wrong while recording and exporting: clipped peaks, silence where sound should be, a constant offset. Measured block by block. */
import { sampleCount, type Waveform } from '../waveform.ts'
import { createLoudnessMeter } from './loudness.ts'

type Format = { sampleRate: number; channelCount: number }

export type Defects = {
  /** Places where three or more samples in a row stand at full scale. */
  clippedPlaces: number
  /** The share of the sound, 0 to 1, in windows of 20 ms, that is below −60 dBFS, and how long it lasts at both ends. */
  silentShare: number
  silentStartSeconds: number
  silentEndSeconds: number
  /** The mean sample of the channel that is furthest from zero. */
  offset: number
}

export type DefectMeter = {
  /** Interleaved samples, whole frames. */
  add(block: Float32Array): void
  read(): Defects
}

/** Lossy coders round a clipped peak a little. */
const fullScale = 0.999
/** Two neighbours at full scale can be an honest peak. */
const clippedRun = 3

const windowsPerSecond = 50
/** −60 dBFS: the noise of a quiet room, recorded well. */
const silentRms = 0.001

export function createDefectMeter({ sampleRate, channelCount }: Format): DefectMeter {
  const runs = new Int32Array(channelCount)
  const sums = new Float64Array(channelCount)
  const windowFrames = Math.round(sampleRate / windowsPerSecond)
  const silent: boolean[] = []
  let [clippedPlaces, frames, windowSum, inWindow] = [0, 0, 0, 0]
  const add = (block: Float32Array) => {
    for (let at = 0; at < block.length; at += channelCount) {
      for (let c = 0; c < channelCount; c++) {
        const sample = block[at + c] as number
        sums[c] = (sums[c] as number) + sample
        windowSum += sample * sample
        const run = Math.abs(sample) >= fullScale ? (runs[c] as number) + 1 : 0
        if (run === clippedRun) clippedPlaces++
        runs[c] = run
      }
      frames++
      if (++inWindow < windowFrames) continue
      silent.push(Math.sqrt(windowSum / windowFrames / channelCount) < silentRms)
      windowSum = inWindow = 0
    }
  }
  const read = (): Defects => {
    const offsets = Array.from(sums, (sum) => sum / Math.max(frames, 1))
    return {
      clippedPlaces,
      silentShare: silent.length > 0 ? silent.filter(Boolean).length / silent.length : 0,
      silentStartSeconds: leading(silent) / windowsPerSecond,
      silentEndSeconds: leading([...silent].reverse()) / windowsPerSecond,
      offset: offsets.reduce((furthest, offset) => (Math.abs(offset) > Math.abs(furthest) ? offset : furthest), 0),
    }
  }
  return { add, read }
}

/** How many windows at the start are silent. */
function leading(silent: readonly boolean[]): number {
  const first = silent.indexOf(false)
  return first < 0 ? silent.length : first
}

/** One side of a pair, listened to while it is decoded: its loudness and defects over the whole, and its beginning kept for comparing. */

/** `loudness` in LUFS; `null` for silence. */
export type SoundMeasurements = Defects & { loudness: number | null }

export type SideMeter = {
  /** Interleaved samples, whole frames. The format is that of the first call. */
  add(block: Float32Array, format: { sampleRate: number; channelCount: number }): void
  sound(): SoundMeasurements
  /** One channel, at the file's own rate, at most `longestSeconds` long. */
  beginning(): Waveform
}

/** @param longestSeconds how much of the beginning to keep */
export function createSideMeter(longestSeconds: number): SideMeter {
  let meters: ReturnType<typeof metersFor> | undefined
  return {
    add: (block, format) => {
      meters ??= metersFor(format, longestSeconds)
      for (const { add } of [meters.loudness, meters.defects, meters.beginning]) add(block)
    },
    sound: () => {
      if (!meters) throw new Error('nothing was listened to')
      return { ...meters.defects.read(), loudness: meters.loudness.integrated() }
    },
    beginning: () => {
      if (!meters) throw new Error('nothing was listened to')
      return meters.beginning.waveform()
    },
  }
}

const metersFor = (format: { sampleRate: number; channelCount: number }, longestSeconds: number) => ({
  loudness: createLoudnessMeter(format),
  defects: createDefectMeter(format),
  beginning: createBeginning(format, longestSeconds),
})

function createBeginning(
  { sampleRate, channelCount }: { sampleRate: number; channelCount: number },
  longestSeconds: number,
) {
  const parts: Waveform[] = []
  let missing = Math.floor(longestSeconds * sampleRate)
  return {
    add: (block: Float32Array) => {
      if (missing === 0) return
      const frames = Math.min(missing, block.length / channelCount)
      missing -= frames
      parts.push({ sampleRate, channels: [mixed(block, channelCount, frames)] })
    },
    waveform: (): Waveform => {
      const samples = new Float32Array(parts.reduce((sum, part) => sum + sampleCount(part), 0))
      let at = 0
      for (const { channels } of parts) {
        samples.set(channels[0] as Float32Array, at)
        at += channels[0]?.length ?? 0
      }
      return { sampleRate, channels: [samples] }
    },
  }
}

/** The mean of all channels. */
function mixed(block: Float32Array, channelCount: number, frames: number): Float32Array {
  const samples = new Float32Array(frames)
  for (let i = 0; i < frames; i++) {
    let sum = 0
    for (let c = 0; c < channelCount; c++) sum += block[i * channelCount + c] as number
    samples[i] = sum / channelCount
  }
  return samples
}
