/** Weights of any size that lie in no file: random bfloat16 numbers, handed out from one buffer again and again. */
import { elementCount, toBfloat16 } from '../../src/checkpoint/dtypes.ts'
import type { StoredTensor } from '../../src/checkpoint/safetensors.ts'
import type { Weights } from '../../src/checkpoint/weights.ts'
import { normals, randomFor } from '../../src/random.ts'

/** As spread as the weights of a layer of 2048 inputs. */
const spread = 0.02
const poolSize = 2 ** 20

/** @param shapes those that no config names, by the end of the tensor's name. */
export function syntheticWeights(shapes: Record<string, readonly number[]>): Weights {
  const pool = toBfloat16(normals(randomFor(1, 'weights'), poolSize).map((value) => value * spread))
  const read = (path: string, shape: readonly (number | null)[]): StoredTensor => {
    const sizes = shape.map((size) => size ?? 1)
    if (path.endsWith('_norm.weight')) return { dtype: 'BF16', shape: sizes, bytes: ones(elementCount(sizes)) }
    return { dtype: 'BF16', shape: sizes, bytes: repeated(pool, 2 * elementCount(sizes)) }
  }
  const at = (name: string): Weights => ({
    name,
    at: (inner) => at(name ? `${name}.${inner}` : inner),
    has: () => true,
    shape: (inner) => {
      const known = Object.entries(shapes).find(([end]) => inner.endsWith(end))
      if (!known) throw new Error(`no shape is known for ${name}.${inner}`)
      return known[1]
    },
    read: (inner, shape) => read(`${name}.${inner}`, shape),
    float32: () => {
      throw new Error('synthetic weights are read as they are')
    },
    count: () => 0,
  })
  return at('')
}

const ones = (count: number) => toBfloat16(new Float32Array(count).fill(1))

function repeated(pool: Uint8Array, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  for (let at = 0; at < length; at += pool.length) bytes.set(pool.subarray(0, Math.min(pool.length, length - at)), at)
  return bytes
}
