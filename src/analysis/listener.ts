/** One side of a pair, listened to while it is decoded: its loudness and defects over the whole, and its beginning kept for comparing. */
import { sampleCount, type Waveform } from '../audio/waveform.ts'
import { createDefectMeter, type Defects } from './defects.ts'
import { createLoudnessMeter } from './loudness.ts'

/** `loudness` in LUFS; `null` for silence. */
export type SideSound = Defects & { loudness: number | null }

export type Listener = {
  /** Interleaved samples, whole frames. The format is that of the first call. */
  add(block: Float32Array, format: { sampleRate: number; channelCount: number }): void
  sound(): SideSound
  /** One channel, at the file's own rate, at most `longestSeconds` long. */
  beginning(): Waveform
}

/** @param longestSeconds how much of the beginning to keep */
export function createListener(longestSeconds: number): Listener {
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
