/**
 * The number format of matrix products ("compute dtype"): which one is used, and whether this machine multiplies it correctly and fast. Sums, norms
 * and trained parameters are float32 everywhere.
 */
import * as tf from '@tensorflow/tfjs'
import { toBfloat16, toFloat32 } from '../formats/dtypes.ts'
import { UserError } from '../platform/errors.ts'
import { boolAttribute, cast, isNative, lacksAvx512, nativeFacts, runOp, typeAttribute } from './native.ts'
import { takeNumber } from './tensor-values.ts'

export type Precision = 'bfloat16' | 'half' | 'float32'
const precisions: readonly Precision[] = ['bfloat16', 'half', 'float32']

/** The precision of the backend that was started last; undefined until it is first asked for. */
let current: Precision | undefined

/** Called when a backend starts. @param precision undefined chooses the precision again when it is first asked for. */
export function resetPrecision(precision?: Precision) {
  current = precision
}

/**
 * The precision in use: the one that `startBackend` was given, else `LTX_A2A_PRECISION`, else the smallest format that this machine multiplies
 * correctly. No timing is involved, so a resumed run uses the precision it started with.
 * @throws UserError when `LTX_A2A_PRECISION` is not a precision.
 */
export function currentPrecision(): Precision {
  if (!isNative()) return 'float32'
  current ??= precisionFromEnvironment() ?? nativeFormats().find(isMatMulExact) ?? 'float32'
  return current
}

/** @throws UserError when `LTX_A2A_PRECISION` is not a precision. */
export function precisionFromEnvironment(): Precision | undefined {
  const name = process.env.LTX_A2A_PRECISION
  if (!name) return undefined
  const precision = precisions.find((known) => known === name)
  if (precision) return precision
  throw new UserError(`LTX_A2A_PRECISION is ${name}`, { hint: `choose one of ${precisions.join(', ')}` })
}

/** The 16-bit formats that are not emulated here. `half` is for graphics cards without bfloat16; processors emulate it. */
const nativeFormats = (): Precision[] => {
  const formats: Precision[] = nativeFacts().device === 'GPU' ? ['bfloat16', 'half'] : ['bfloat16']
  return formats.filter((format) => !isEmulated(format))
}

/** Whether TensorFlow has no kernels for the format on this processor: products would be slow, and truncated instead of rounded. */
export const isEmulated = (precision: Precision): boolean => precision === 'bfloat16' && lacksAvx512()

/** Whether products of the format have exact sums and round to nearest. False where there is no such product: old GPU builds lack bfloat16. */
function isMatMulExact(precision: Precision): boolean {
  const passes = ({ factors, expected }: ProductCheck) =>
    tf.tidy(() => areEqual(matMulTransposed(factors, precision).dataSync(), expected)) // native TensorFlow can
  try {
    return passes(exactSums()) && passes(roundingToNearest(precision))
  } catch {
    return false
  }
}

/** The same on any backend, for one check. */
async function passesOnBackend({ factors, expected }: ProductCheck, precision: Precision): Promise<boolean> {
  const product = tf.tidy(() => matMulTransposed(factors, precision))
  try {
    return areEqual(await product.data(), expected)
  } finally {
    product.dispose()
  }
}

/** The values that a·bᵀ must have. */
type ProductCheck = { factors: readonly [a: number[][], b: number[][]]; expected: ArrayLike<number> }

/** Products of small integers are exact; bfloat16 represents integers up to 256. */
function exactSums(): ProductCheck {
  const rows = Array.from({ length: 32 }, (_, i) => Array.from({ length: 32 }, (_, k) => ((3 * i + 4 * k) % 5) - 2))
  const expected = rows.flatMap((a) => rows.map((b) => a.reduce((sum, x, k) => sum + x * (b[k] ?? 0), 0)))
  return { factors: [rows, rows], expected }
}

/** Sums of ones from 513 on are rounded to nearest; bfloat16 represents every fourth of them. */
function roundingToNearest(precision: Precision): ProductCheck {
  const counts = Array.from({ length: 32 }, (_, i) => 513 + 5 * i)
  const ones = (count: number) => Array.from({ length: 1024 }, (_, k) => (k < count ? 1 : 0))
  const sums = Float32Array.from(counts)
  const expected = precision === 'bfloat16' ? toFloat32(toBfloat16(sums), 'BF16') : sums
  return { factors: [[ones(1024)], counts.map(ones)], expected }
}

const areEqual = (values: ArrayLike<number>, expected: ArrayLike<number>) =>
  Array.from(expected).every((value, i) => value === values[i])

/** a · bᵀ, in float32. */
function matMulTransposed(factors: ProductCheck['factors'], precision: Precision): tf.Tensor {
  const [x, y] = factors.map((rows) => fromFloat32(tf.tensor2d(rows), precision)) as [tf.Tensor2D, tf.Tensor2D]
  return asFloat32(matMul(x, y, precision, true), precision)
}

const matMul = (x: tf.Tensor, y: tf.Tensor, precision: Precision, transposeB = false): tf.Tensor => {
  if (precision === 'float32') return tf.matMul(x, y, false, transposeB)
  const transposes = [boolAttribute('transpose_a', false), boolAttribute('transpose_b', transposeB)]
  return runOp('MatMul', [x, y], [typeAttribute('T', precision), ...transposes])
}

/** float32 exists on every backend, the other formats on native TensorFlow alone. */
const fromFloat32 = (x: tf.Tensor, precision: Precision) => (precision === 'float32' ? x : cast(x, precision))
const asFloat32 = (x: tf.Tensor, precision: Precision) => (precision === 'float32' ? x : cast(x, 'float32'))

/** What is known of matrix products in one format on the current backend; `gigaflops` are 1e9 operations per second. */
export type MatMulProbe =
  | { works: true; gigaflops: number; roundsToNearest: boolean }
  | { works: false; reason: string }

/** Checks the products of small matrices, then measures how long larger and larger ones take. */
export async function probeMatMul(precision: Precision): Promise<MatMulProbe> {
  if (precision !== 'float32' && !isNative()) return { works: false, reason: 'only native TensorFlow has it' }
  if (isNative() && isEmulated(precision)) return { works: false, reason: 'emulated on this processor' }
  try {
    if (!(await passesOnBackend(exactSums(), precision))) return { works: false, reason: 'its results are wrong' }
    return {
      works: true,
      gigaflops: await measureGigaflops(precision),
      roundsToNearest: await passesOnBackend(roundingToNearest(precision), precision),
    }
  } catch (error) {
    return { works: false, reason: String((error as Error).message).split('\n', 1)[0] as string }
  }
}

const [smallestSize, largestSize, minMilliseconds] = [128, 8192, 20]

/** At the smallest size whose product takes long enough to be timed. */
async function measureGigaflops(precision: Precision): Promise<number> {
  for (let size = smallestSize; ; size *= 2) {
    const milliseconds = await timeMatMul(size, precision)
    if (milliseconds >= minMilliseconds || size >= largestSize) return (2 * size ** 3) / milliseconds / 1e6
  }
}

const timedProducts = 4

/** Milliseconds of one product of two square matrices. */
async function timeMatMul(size: number, precision: Precision): Promise<number> {
  const matrix = tf.tidy(() => fromFloat32(tf.randomUniform([size, size], -1, 1), precision))
  const square = () => matMul(matrix, matrix, precision)
  try {
    await waitFor(square, precision)
    const started = performance.now()
    for (let i = 1; i < timedProducts; i++) square().dispose()
    await waitFor(square, precision)
    return (performance.now() - started) / timedProducts
  } finally {
    matrix.dispose()
  }
}

/** Reads a number that depends on all of the result: a GPU returns from an op before it has computed it. */
const waitFor = (compute: () => tf.Tensor, precision: Precision) =>
  takeNumber(tf.tidy(() => tf.sum(asFloat32(compute(), precision))))
