/** What matrix products are worth on the backend that is computing: whether they are right, and how fast they are. */
import * as tf from '@tensorflow/tfjs'
import {
  asFloat32,
  fromFloat32,
  hasExactSums,
  isForeign,
  multiply,
  type ProductType,
  roundsToNearest,
} from './exactness.ts'
import { isNative } from './native.ts'

export type ProductProbe =
  | { works: true; gigaflops: number; roundsToNearest: boolean }
  | { works: false; reason: string }

/** Multiplies small matrices and looks at the result, then larger and larger ones and takes the time. */
export function probeProduct(type: ProductType): ProductProbe {
  if (type !== 'float32' && !isNative()) return { works: false, reason: 'only native TensorFlow has it' }
  if (isForeign(type)) return { works: false, reason: 'foreign to this processor' }
  try {
    if (!hasExactSums(type)) return { works: false, reason: 'its results are wrong' }
    return { works: true, gigaflops: rate(type), roundsToNearest: roundsToNearest(type) }
  } catch (error) {
    return { works: false, reason: String((error as Error).message).split('\n', 1)[0] as string }
  }
}

const [smallest, largest, longEnough] = [128, 8192, 20]

/** In units of 1e9 operations a second, at the first size whose product takes long enough to be timed. */
function rate(type: ProductType): number {
  for (let size = smallest; ; size *= 2) {
    const milliseconds = timeOfProduct(size, type)
    if (milliseconds >= longEnough || size >= largest) return (2 * size ** 3) / milliseconds / 1e6
  }
}

const products = 4

const timeOfProduct = (size: number, type: ProductType): number =>
  tf.tidy(() => {
    const matrix = fromFloat32(tf.randomUniform([size, size], -1, 1), type)
    finish(square(matrix, type), type)
    const begun = performance.now()
    for (let i = 1; i < products; i++) square(matrix, type).dispose()
    finish(square(matrix, type), type)
    return (performance.now() - begun) / products
  })

/** A GPU answers before it has computed: only a number that is read is there. */
const finish = (x: tf.Tensor, type: ProductType) => tf.tidy(() => tf.sum(asFloat32(x, type)).dataSync())

const square = (x: tf.Tensor, type: ProductType): tf.Tensor => multiply(x, x, type)
