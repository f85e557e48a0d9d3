/** What matrix products are worth on the backend that is computing: whether they are right, and how fast they are. */
import * as tf from '@tensorflow/tfjs'
import { flag, isNative, runOp, typeAttribute } from './native.ts'

export type ProductType = 'float32' | 'bfloat16'

export type ProductProbe = { works: true; gigaflops: number } | { works: false; reason: string }

/** Multiplies small matrices and looks at the result, then larger and larger ones and takes the time. */
export function probeProduct(type: ProductType): ProductProbe {
  if (type === 'bfloat16' && !isNative()) return { works: false, reason: 'only native TensorFlow has it' }
  try {
    if (!isExact(type)) return { works: false, reason: 'its results are wrong' }
    return { works: true, gigaflops: rate(type) }
  } catch (error) {
    return { works: false, reason: String((error as Error).message).split('\n', 1)[0] as string }
  }
}

/** Small whole numbers: bfloat16 counts to 256 exactly, and so must get every sum right. */
function isExact(type: ProductType): boolean {
  const indices = Array.from({ length: 32 }, (_, i) => i)
  const rows = indices.map((i) => indices.map((k) => ((3 * i + 4 * k) % 5) - 2))
  const columns = indices.map((j) => rows.map((row) => row[j] as number))
  const expected = rows.map((row) => columns.map((column) => row.reduce((sum, x, k) => sum + x * (column[k] ?? 0), 0)))
  const found = tf.tidy(() => asFloat32(square(fromFloat32(tf.tensor2d(rows), type), type), type).dataSync())
  return expected.flat().every((sum, i) => sum === found[i])
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

const square = (x: tf.Tensor, type: ProductType): tf.Tensor =>
  type === 'float32'
    ? tf.matMul(x, x)
    : runOp('MatMul', [x, x], [typeAttribute('T', type), flag('transpose_a', false), flag('transpose_b', false)])

const fromFloat32 = (x: tf.Tensor, type: ProductType) => (type === 'float32' ? x : cast(x, 'float32', type))

const asFloat32 = (x: tf.Tensor, type: ProductType) => (type === 'float32' ? x : cast(x, type, 'float32'))

const cast = (x: tf.Tensor, from: ProductType, to: ProductType) =>
  runOp('Cast', [x], [typeAttribute('SrcT', from), typeAttribute('DstT', to), flag('Truncate', false)])
