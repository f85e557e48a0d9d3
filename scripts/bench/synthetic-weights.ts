/** Weights of any size that lie in no file: random bfloat16 numbers, handed out from one buffer again and again. */
import { elementCount, toBfloat16, toFloat32 } from '../../src/formats/dtypes.ts'
import type { StoredTensor } from '../../src/formats/safetensors.ts'
import type { Weights } from '../../src/model/weights.ts'
import { normals, randomFor } from '../../src/platform/random.ts'
import { releasedShapes } from './released.ts'

/** As spread as the weights of a layer of 2048 inputs. */
const spread = 0.02
const poolSize = 2 ** 20

/** What divides, or is multiplied with all that comes. */
const ones = /(_norm\.weight|std-of-means)$/

/** @param component the prefix of its names in the released file, whose shapes stand in where no config names one. */
export function syntheticWeights(component: string): Weights {
  const shapes = releasedShapes(component)
  const pool = toBfloat16(normals(randomFor(1, 'weights'), poolSize).map((value) => value * spread))
  const shapeOf = (path: string) => {
    const shape = shapes.get(path) ?? shapes.get(path.replace(/^(transformer_blocks\.)\d+/, '$10'))
    if (shape) return shape
    throw new Error(`the released model has no ${path}`)
  }
  const read = (path: string, sizes: readonly (number | null)[]): StoredTensor => {
    const shape = sizes.map((size, axis) => size ?? (shapeOf(path)[axis] as number))
    const length = 2 * elementCount(shape)
    return { dtype: 'BF16', shape, bytes: ones.test(path) ? bytesOfOnes(length) : repeated(pool, length) }
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
      count: () => 0,
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
