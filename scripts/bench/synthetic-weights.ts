/** Random bfloat16 weights in memory, of any size: all are repetitions of the same buffer. */
import { elementCount, toBfloat16, toFloat32 } from '../../src/formats/dtypes.ts'
import type { StoredTensor } from '../../src/formats/safetensors.ts'
import type { Weights } from '../../src/model/weights.ts'
import { normals, randomFor } from '../../src/platform/random.ts'
import { releasedShapes } from './released.ts'

/** Of the weights of a layer with 2048 inputs. */
const standardDeviation = 0.02
const poolSize = 2 ** 20

/** The scales of norms, and the standard deviations of the latents, are 1. */
const onesPattern = /(_norm\.weight|std-of-means)$/

/** @param component the prefix of its tensors in the released file. Sizes that the caller does not give are those of that file. */
export function syntheticWeights(component: string): Weights {
  const shapes = releasedShapes(component)
  const pool = toBfloat16(normals(randomFor(1, 'weights'), poolSize).map((value) => value * standardDeviation))
  const shapeOf = (path: string) => {
    const shape = shapes.get(path) ?? shapes.get(path.replace(/^(transformer_blocks\.)\d+/, '$10'))
    if (shape) return shape
    throw new Error(`the released model has no ${path}`)
  }
  const read = (path: string, sizes: readonly (number | null)[]): StoredTensor => {
    const shape = sizes.map((size, axis) => size ?? (shapeOf(path)[axis] as number))
    const length = 2 * elementCount(shape)
    return { dtype: 'BF16', shape, bytes: onesPattern.test(path) ? bytesOfOnes(length) : repeated(pool, length) }
  }
  const at = (name: string): Weights => {
    const pathOf = (inner: string) => (name ? `${name}.${inner}` : inner)
    return {
      name,
      at: (inner) => at(pathOf(inner)),
      has: () => true,
      shape: (inner) => shapeOf(pathOf(inner)),
      read: (inner, shape) => read(pathOf(inner), shape),
      readPooled: (inner, shape) => read(pathOf(inner), shape),
      readAhead: () => undefined,
      float32: (inner, shape) => {
        const { bytes, dtype } = read(pathOf(inner), shape)
        return toFloat32(bytes, dtype)
      },
    }
  }
  return at('')
}

const bytesOfOnes = (length: number) => toBfloat16(new Float32Array(length / 2).fill(1))

function repeated(pool: Uint8Array, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  for (let at = 0; at < length; at += pool.length) bytes.set(pool.subarray(0, Math.min(pool.length, length - at)), at)
  return bytes
}
