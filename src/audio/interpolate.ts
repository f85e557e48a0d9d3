/** Reads a recording at evenly spaced positions between its samples, block by block: cuts it, and corrects the speed of its clock. */
import { concatenateSamples } from './waveform.ts'

/**
 * Output frame `i` is input frame `start + i · step`. `step` is near 1: the band is not limited where it is above.
 * `length` is that of the output in frames. Frames outside the input are zero.
 */
export type Positions = { start: number; step: number; length: number }

export type PositionReader = {
  /** Takes interleaved frames, and returns those of the output that they complete. */
  add(block: Float32Array): Float32Array
  /** The rest of the output. */
  end(): Float32Array
}

/** Zero crossings of the sinc on each side. The transition band is 3 % of half the sample rate. */
const halfWidth = 32

/** Copies frames where the positions are whole, and interpolates with a windowed sinc where they are not. */
export function createPositionReader({ start, step, length }: Positions, channelCount: number): PositionReader {
  const isWhole = step === 1 && Number.isInteger(start)
  const margin = isWhole ? 0 : halfWidth
  let pending = new Float32Array(margin * channelCount) // silence before the first frame
  let pendingStart = -margin
  let done = 0
  const availableUntil = () => pendingStart + pending.length / channelCount

  const read = (frames: number) => {
    const output = new Float32Array(frames * channelCount)
    for (let i = 0; i < frames; i++) {
      const position = start + (done + i) * step
      if (isWhole) copyFrame(pending, position - pendingStart, output, i, channelCount)
      else interpolateFrame(pending, position - pendingStart, output, i, channelCount)
    }
    done += frames
    const unneeded = Math.min(Math.floor(start + done * step) - margin, availableUntil()) - pendingStart
    if (unneeded > 0) {
      pending = pending.slice(unneeded * channelCount)
      pendingStart += unneeded
    }
    return output
  }
  /** How many output frames have all their input before `until`. */
  const readable = (until: number) => Math.max(0, Math.min(length, Math.ceil((until - margin - start) / step)) - done)

  return {
    add: (block) => {
      if (done >= length) return new Float32Array(0)
      pending = concatenateSamples([pending, block]) as Float32Array<ArrayBuffer>
      return read(readable(availableUntil()))
    },
    end: () => {
      const missing = Math.ceil(start + length * step) + margin + 1 - availableUntil()
      if (missing > 0)
        pending = concatenateSamples([pending, new Float32Array(missing * channelCount)]) as Float32Array<ArrayBuffer>
      return read(length - done)
    },
  }
}

/** The same for one channel in memory. */
export function readPositions(samples: Float32Array, positions: Positions): Float32Array {
  const reader = createPositionReader(positions, 1)
  return concatenateSamples([reader.add(samples), reader.end()])
}

function copyFrame(input: Float32Array, from: number, output: Float32Array, to: number, channelCount: number) {
  for (let c = 0; c < channelCount; c++) output[to * channelCount + c] = input[from * channelCount + c] ?? 0
}

/** cos and sin of π·k / halfWidth for the taps k = 1 − halfWidth … halfWidth. */
const tapAngles = Array.from({ length: 2 * halfWidth }, (_, i) => (Math.PI * (i + 1 - halfWidth)) / halfWidth)
const tapCosines = tapAngles.map(Math.cos)
const tapSines = tapAngles.map(Math.sin)
const taps = new Float64Array(2 * halfWidth)

/** A sinc with a Hann window. */
function interpolateFrame(
  input: Float32Array,
  position: number,
  output: Float32Array,
  to: number,
  channelCount: number,
) {
  const whole = Math.floor(position)
  const fraction = position - whole
  if (fraction === 0) return copyFrame(input, whole, output, to, channelCount)
  const sine = Math.sin(Math.PI * fraction) / Math.PI
  const [cos, sin] = [Math.cos((Math.PI * fraction) / halfWidth), Math.sin((Math.PI * fraction) / halfWidth)]
  for (let i = 0; i < 2 * halfWidth; i++) {
    const k = i + 1 - halfWidth
    const window = 0.5 + 0.5 * (cos * (tapCosines[i] as number) + sin * (tapSines[i] as number)) // of π·(fraction − k) / halfWidth
    taps[i] = ((k & 1 ? -sine : sine) / (fraction - k)) * window
  }
  const first = whole + 1 - halfWidth
  for (let c = 0; c < channelCount; c++) {
    let sum = 0
    for (let i = 0; i < 2 * halfWidth; i++) sum += (taps[i] as number) * (input[(first + i) * channelCount + c] ?? 0)
    output[to * channelCount + c] = sum
  }
}
