/** What goes wrong while recording and exporting: clipped peaks, silence where sound should be, a constant offset. Measured block by block. */

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
