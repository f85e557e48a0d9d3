/**
 * Perceived loudness by ITU-R BS.1770-4: K-weighting by two filters, the power of a block of 400 ms every 100 ms, and two gates that exclude pauses.
 * It is measured while decoding, and keeps no more than one power per 100 ms.
 */
import { mean } from '../../platform/statistics.ts'
import type { SampleFormat } from '../decode.ts'

/** In LUFS; quieter blocks do not count. */
const absoluteGate = -70
/** In LU, relative to the mean of the other blocks; quieter blocks do not count either. */
const relativeGate = -10

/** In Hz. The filters do not exist where half the sample rate is below the frequency of the shelf. */
const lowestSampleRate = 4000

const subBlocksPerSecond = 10
const subBlocksPerBlock = 4

export type LoudnessMeter = {
  /** Interleaved samples, whole frames. */
  add(block: Float32Array): void
  /** Integrated loudness in LUFS; `null` where nothing passes the gates, as for silence or less than 400 ms, and below 4 kHz. */
  integrated(): number | null
}

export function createLoudnessMeter({ sampleRate, channelCount }: SampleFormat): LoudnessMeter {
  const subBlock = Math.round(sampleRate / subBlocksPerSecond)
  const weights = channelWeights(channelCount)
  const filters = weights.map(() => kWeighting(sampleRate))
  const powers: number[] = []
  let [sum, frames] = [0, 0]
  return {
    add: (block) => {
      for (let at = 0; at + channelCount <= block.length; at += channelCount) {
        for (let c = 0; c < channelCount; c++) {
          const weight = weights[c] as number
          if (weight === 0) continue
          const filtered = (filters[c] as Filter)(block[at + c] as number)
          sum += weight * filtered * filtered
        }
        if (++frames < subBlock) continue
        powers.push(sum / subBlock)
        sum = frames = 0
      }
    },
    integrated: () => (sampleRate < lowestSampleRate ? null : gatedLoudness(powers)),
  }
}

/** @param powers weighted mean squares, one for each 100 ms. */
function gatedLoudness(powers: readonly number[]): number | null {
  const blocks = powers.slice(subBlocksPerBlock - 1).map((_, i) => mean(powers.slice(i, i + subBlocksPerBlock)))
  const audible = blocks.filter((power) => toLufs(power) > absoluteGate)
  if (audible.length === 0) return null
  const gate = toLufs(mean(audible)) + relativeGate
  return toLufs(mean(audible.filter((power) => toLufs(power) > gate)))
}

const toLufs = (power: number) => -0.691 + 10 * Math.log10(power)

/** The surround channels count 1.5 dB more, the low-frequency channel does not count. The channels are in the order of wav files. */
const channelWeights = (channels: number): readonly number[] =>
  ({ 5: [1, 1, 1, 1.41, 1.41], 6: [1, 1, 1, 0, 1.41, 1.41], 8: [1, 1, 1, 0, 1.41, 1.41, 1.41, 1.41] })[channels] ??
  Array<number>(channels).fill(1)

type Filter = (sample: number) => number

/** The standard's weighting: a high shelf models the acoustics of the head, and a high-pass the low sensitivity of hearing to bass. */
function kWeighting(sampleRate: number): Filter {
  const shelf = biquad(highShelf(sampleRate))
  const highPass = biquad(highPassCoefficients(sampleRate))
  return (sample) => highPass(shelf(sample))
}

/** The coefficients of a biquad filter; a0 is 1 and left out. */
type Coefficients = { b: readonly [number, number, number]; a: readonly [number, number] }

/** The standard lists coefficients for 48 kHz only. These are derived from the analog filters behind its table, for any sample rate. */
function highShelf(sampleRate: number): Coefficients {
  const [frequency, gain, q] = [1681.974450955533, 3.999843853973347, 0.7071752369554196]
  const k = Math.tan((Math.PI * frequency) / sampleRate)
  const high = 10 ** (gain / 20)
  const band = high ** 0.4996667741545416
  const a0 = 1 + k / q + k * k
  return {
    b: [(high + (band * k) / q + k * k) / a0, (2 * (k * k - high)) / a0, (high - (band * k) / q + k * k) / a0],
    a: [(2 * (k * k - 1)) / a0, (1 - k / q + k * k) / a0],
  }
}

function highPassCoefficients(sampleRate: number): Coefficients {
  const [frequency, q] = [38.13547087602444, 0.5003270373238773]
  const k = Math.tan((Math.PI * frequency) / sampleRate)
  const a0 = 1 + k / q + k * k
  return { b: [1, -2, 1], a: [(2 * (k * k - 1)) / a0, (1 - k / q + k * k) / a0] }
}

function biquad({ b: [b0, b1, b2], a: [a1, a2] }: Coefficients): Filter {
  let [z1, z2] = [0, 0]
  return (x) => {
    const y = b0 * x + z1
    z1 = b1 * x - a1 * y + z2
    z2 = b2 * x - a2 * y
    return y
  }
}
