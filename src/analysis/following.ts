/** How closely one sound follows another in time, band by band, whatever each band sounds like. */
import { framesPerSecond, highest, type Spectrum } from './spectrum.ts'

export type Following = {
  /** 1: every band rises and falls together; about 0: they know nothing of each other. */
  correlation: number
  /** How much later the second sound is where it follows best. */
  lagSeconds: number
}

/** A preview starts with its reference; what is further off than this does not follow it. */
export const reachSeconds = 0.1
/** What is more than this below a sound's loudest cell is silence. */
const audibleRange = 50
const groupSize = 4

/** The envelopes of 16 groups of mel bands are correlated, and count by how much they move in the first sound. */
export function following(first: Spectrum, second: Spectrum): Following {
  const [before, after] = [envelopes(first), envelopes(second)]
  const reach = Math.round(reachSeconds * framesPerSecond)
  let best: Following = { correlation: -1, lagSeconds: 0 }
  for (let lag = -reach; lag <= reach; lag++) {
    const correlation = meanCorrelation(before, after, lag)
    if (correlation > best.correlation) best = { correlation, lagSeconds: lag / framesPerSecond }
  }
  return best
}

/** One envelope per group of bands, decibels above the floor. */
function envelopes({ frames, bands, decibels }: Spectrum): Float32Array[] {
  const floor = highest(decibels) - audibleRange
  return Array.from({ length: bands / groupSize }, (_, group) =>
    Float32Array.from({ length: frames }, (_, frame) => {
      const at = frame * bands + group * groupSize
      const cells = decibels.subarray(at, at + groupSize)
      return cells.reduce((sum, level) => sum + Math.max(level, floor) - floor, 0) / groupSize
    }),
  )
}

function meanCorrelation(before: readonly Float32Array[], after: readonly Float32Array[], lag: number): number {
  let [sum, weights] = [0, 0]
  before.forEach((envelope, group) => {
    const first = envelope.subarray(Math.max(0, -lag))
    const second = (after[group] as Float32Array).subarray(Math.max(0, lag))
    const length = Math.min(first.length, second.length)
    const { correlation, spread } = pearson(first.subarray(0, length), second.subarray(0, length))
    sum += correlation * spread
    weights += spread
  })
  return weights > 0 ? sum / weights : 0
}

/** `spread` is the standard deviation of the first; a band that stands still correlates with nothing. */
function pearson(first: Float32Array, second: Float32Array): { correlation: number; spread: number } {
  const [meanFirst, meanSecond] = [mean(first), mean(second)]
  let [xx, yy, xy] = [0, 0, 0]
  for (let i = 0; i < first.length; i++) {
    const [x, y] = [(first[i] as number) - meanFirst, (second[i] as number) - meanSecond]
    xx += x * x
    yy += y * y
    xy += x * y
  }
  const correlation = xx > 1e-6 && yy > 1e-6 ? xy / Math.sqrt(xx * yy) : 0
  return { correlation, spread: Math.sqrt(xx / Math.max(1, first.length)) }
}

const mean = (values: Float32Array) => values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length)
