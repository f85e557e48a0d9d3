/**
 * Randomness is an argument. A source is named by a seed and a purpose (`randomFor(42, 'noise', step)`), so what is drawn at step 700
 * does not depend on what was drawn before it: a resumed run draws what an uninterrupted one would have drawn.
 */
import { createHash } from 'node:crypto'
import { xoroshiro128plusFromState } from 'pure-rand/generator/xoroshiro128plus'

export type Random = {
  /** A uniform number in [0, 1) with 53 random bits. */
  uniform(): number
  /** A standard normal number. */
  normal(): number
}

/** The random source of one purpose. The same seed and purpose give the same numbers on every machine. */
export function randomFor(seed: number, ...purpose: (string | number)[]): Random {
  const digest = createHash('sha256')
    .update(JSON.stringify([seed, ...purpose]))
    .digest()
  const generator = xoroshiro128plusFromState([0, 4, 8, 12].map((at) => digest.readInt32LE(at)))
  const uniform = () => ((generator.next() >>> 5) * 67108864 + (generator.next() >>> 6)) / 2 ** 53
  let spare: number | undefined
  const normal = () => {
    if (spare !== undefined) {
      const value = spare
      spare = undefined
      return value
    }
    const radius = Math.sqrt(-2 * Math.log(1 - uniform())) // Box–Muller; 1 − u is never 0
    const angle = 2 * Math.PI * uniform()
    spare = radius * Math.sin(angle)
    return radius * Math.cos(angle)
  }
  return { uniform, normal }
}

/** `count` standard normal numbers. */
export const normals = (random: Random, count: number) => filled(count, random.normal)

/** `count` numbers, uniform between `low` and `high`. */
export const uniforms = (random: Random, count: number, low: number, high: number) =>
  filled(count, () => low + (high - low) * random.uniform())

/** A LoRA of the released model begins with 40 million numbers: a plain loop makes them in half the time of `Float32Array.from`. */
function filled(count: number, next: () => number): Float32Array {
  const values = new Float32Array(count)
  for (let i = 0; i < count; i++) values[i] = next()
  return values
}

/** The numbers 0 … count − 1 in random order (Fisher–Yates). */
export function shuffled(random: Random, count: number): number[] {
  const order = Array.from({ length: count }, (_, i) => i)
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random.uniform() * (i + 1))
    ;[order[i], order[j]] = [order[j] as number, order[i] as number]
  }
  return order
}
