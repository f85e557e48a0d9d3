import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, it } from 'vitest'
import { startBackend } from '../../src/engine/backend.ts'
import { wasmMatMul } from '../../src/engine/wasm-matmul.ts'
import { normals, randomFor } from '../../src/platform/random.ts'

beforeAll(async () => {
  await startBackend('wasm')
})

const random = (name: string, shape: number[]) =>
  tf.tensor(
    normals(
      randomFor(1, name),
      shape.reduce((product, size) => product * size, 1),
    ),
    shape,
  )

/** The product in JavaScript, matrix by matrix. */
function expected(a: tf.Tensor, b: tf.Tensor, transposeA: boolean, transposeB: boolean): number[] {
  const matrices = (x: tf.Tensor) => (x.rank === 2 ? [x.arraySync()] : x.arraySync()) as number[][][]
  const element = (matrix: number[][], transpose: boolean, row: number, column: number) =>
    (transpose ? matrix[column]?.[row] : matrix[row]?.[column]) as number
  const others = matrices(b)
  return matrices(a).flatMap((first, i) => {
    const second = others[i] as number[][]
    const [rows, inner] = transposeA ? [first[0]?.length, first.length] : [first.length, first[0]?.length]
    const columns = transposeB ? second.length : second[0]?.length
    return Array.from({ length: (rows as number) * (columns as number) }, (_, j) => {
      const [row, column] = [Math.floor(j / (columns as number)), j % (columns as number)]
      let sum = 0
      for (let k = 0; k < (inner as number); k++)
        sum += element(first, transposeA, row, k) * element(second, transposeB, k, column)
      return sum
    })
  })
}

/** Rows, inner size and columns: which way is shorter, with the product transposed as a whole or not, differs. */
const sizes: [number, number, number][] = [
  [3, 5, 7],
  [40, 4, 2],
  [2, 4, 40],
  [3, 60, 3],
]

const cases = sizes.flatMap((size) =>
  [undefined, 1, 3].flatMap((stack) =>
    [false, true].flatMap((transposeA) => [false, true].map((transposeB) => ({ size, stack, transposeA, transposeB }))),
  ),
)

describe('a matrix product on wasm', () => {
  it.each(cases)('of size $size, stack of $stack, transposeA $transposeA, transposeB $transposeB', (options) => {
    const { size, stack, transposeA, transposeB } = options
    const [rows, inner, columns] = size
    const shape = (matrix: number[]) => (stack === undefined ? matrix : [stack, ...matrix])
    const a = random('a', shape(transposeA ? [inner, rows] : [rows, inner])) as tf.Tensor2D
    const b = random('b', shape(transposeB ? [columns, inner] : [inner, columns])) as tf.Tensor2D
    const product = wasmMatMul(a, b, { transposeA, transposeB })
    expect(product.shape).toEqual(shape([rows, columns]))
    const values = product.dataSync()
    for (const [i, value] of expected(a, b, transposeA, transposeB).entries()) expect(values[i]).toBeCloseTo(value, 3)
  })

  it('leaves nothing behind', () => {
    const [a, b] = [random('a', [3, 6, 4]), random('b', [3, 7, 6])] as [tf.Tensor3D, tf.Tensor3D]
    const before = { ...tf.memory(), dataIds: tf.backend().numDataIds() }
    const product = tf.tidy(() => wasmMatMul(a, b, { transposeA: true, transposeB: true }))
    expect(product.shape).toEqual([3, 4, 7])
    product.dispose()
    const after = { ...tf.memory(), dataIds: tf.backend().numDataIds() }
    expect([after.numTensors, after.numBytes, after.dataIds]).toEqual([
      before.numTensors,
      before.numBytes,
      before.dataIds,
    ])
  })

  it('transposes an operand once within a tidy, and again after it', async () => {
    const [weight, x] = [random('w', [20, 6]), random('x', [5, 6])] as [tf.Tensor2D, tf.Tensor2D]
    const multiply = () => wasmMatMul(weight, x, { transposeB: true })
    const { kernels } = await tf.profile(() => {
      const results = [1, 2].map(() =>
        tf.tidy(() => {
          const [first, second] = [multiply(), multiply()]
          return tf.add(first, second)
        }),
      )
      expect(results.map((result) => [...result.dataSync()])[0]).toEqual([...(results[1] as tf.Tensor).dataSync()])
      return results[0] as tf.Tensor
    })
    expect(kernels.filter(({ name }) => name === 'Transpose')).toHaveLength(2)
  })

  it('uses the values of a variable that was changed', () => {
    const variable = tf.variable(random('v', [5, 6]) as tf.Tensor2D)
    const weight = random('w', [20, 6]) as tf.Tensor2D
    const doubled = tf.tidy(() => {
      const before = wasmMatMul(weight, variable, { transposeB: true })
      variable.assign(tf.mul(variable, 2))
      const after = wasmMatMul(weight, variable, { transposeB: true })
      return [...tf.sub(after, tf.mul(before, 2)).dataSync()]
    })
    expect(Math.max(...doubled.map(Math.abs))).toBeLessThan(1e-5)
  })

  it('treats a tensor of another shape with the same data as another matrix', () => {
    const [first, second] = [random('a', [4, 6]), random('b', [4, 6])] as [tf.Tensor2D, tf.Tensor2D]
    tf.tidy(() => {
      for (const shape of [
        [4, 6],
        [2, 12],
      ] as [number, number][]) {
        const [a, b] = [tf.reshape(first, shape), tf.reshape(second, shape)] as [tf.Tensor2D, tf.Tensor2D]
        const values = wasmMatMul(a, b, { transposeB: true }).dataSync()
        for (const [i, value] of expected(a, b, false, true).entries()) expect(values[i]).toBeCloseTo(value, 3)
      }
    })
  })
})
