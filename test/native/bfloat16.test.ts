/** bfloat16 on native TensorFlow: conversions, products and captured graphs. */
import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, it } from 'vitest'
import { startBackend } from '../../src/engine/backend.ts'
import { capture } from '../../src/engine/capture.ts'
import { graphFunction } from '../../src/engine/graph-function.ts'
import { nativeDtypeOf } from '../../src/engine/native.ts'
import { add, batchMatMul, matMul, mul, sub, toComputeDtype, toFloat32 } from '../../src/engine/native-ops.ts'
import { toFloat32 as decode, toBfloat16 } from '../../src/formats/dtypes.ts'
import { hasBfloat16 } from '../engine/native.ts'
import { randomTensor } from '../model/gradients/layers.ts'
import { needs } from '../needs.ts'

const rounded = (values: ArrayLike<number>) => [...decode(toBfloat16(Float32Array.from(values)), 'BF16')]

describe.skipIf(!hasBfloat16)('on native TensorFlow', needs('a processor that computes bfloat16'), () => {
  beforeAll(async () => {
    await startBackend('tensorflow', { precision: 'bfloat16' })
  })

  it('conversion to bfloat16 rounds to nearest, ties to even', () => {
    const values = [0, 1, -1, 1 / 3, -2 / 3, 3.3, 1e-30, -1e30, 257, 258, 259, 1.00390625, 1.01171875, 65504]
    const x = tf.tensor1d([...values, ...randomTensor('x', [100]).dataSync()])
    const converted = toComputeDtype(x)
    expect(nativeDtypeOf(converted)).toBe('bfloat16')
    const back = toFloat32(converted)
    expect(nativeDtypeOf(back)).toBe('float32')
    expect([...back.dataSync()]).toEqual(rounded(x.dataSync()))
    expect([...toFloat32(toComputeDtype(back)).dataSync()]).toEqual([...back.dataSync()]) // nothing is lost the second time
  })

  it('a tensor that already has the requested type is not converted', () => {
    const x = toComputeDtype(randomTensor('x', [3]))
    expect(toComputeDtype(x)).toBe(x)
    const float = randomTensor('y', [3])
    expect(toFloat32(float)).toBe(float)
  })

  it('bfloat16 sums, differences and products are the rounded exact results', () => {
    const [a, b] = [randomTensor('a', [50]), randomTensor('b', [50])].map(toComputeDtype) as [tf.Tensor, tf.Tensor]
    const [x, y] = [a, b].map((tensor) => [...toFloat32(tensor).dataSync()]) as [number[], number[]]
    const expected = (operation: (x: number, y: number) => number) =>
      rounded(x.map((v, i) => operation(v, y[i] as number)))
    expect([...toFloat32(add(a, b)).dataSync()]).toEqual(expected((x, y) => x + y))
    expect([...toFloat32(sub(a, b)).dataSync()]).toEqual(expected((x, y) => x - y))
    expect([...toFloat32(mul(a, b)).dataSync()]).toEqual(expected((x, y) => x * y))
  })

  it('bfloat16 matrix products are rounded float32 sums of exact products', () => {
    const [a, b] = [randomTensor('a', [2, 4, 64]), randomTensor('b', [2, 5, 64])]
    const [x, y] = [a, b].map(toComputeDtype) as [tf.Tensor, tf.Tensor]
    const exact = tf.matMul(toFloat32(x) as tf.Tensor3D, toFloat32(y) as tf.Tensor3D, false, true)
    const products = batchMatMul(x, y, { transposeB: true })
    expect(nativeDtypeOf(products)).toBe('bfloat16')
    const relative = tf.div(tf.abs(tf.sub(toFloat32(products), exact)), tf.max(tf.abs(exact)))
    expect(tf.max(relative).dataSync()[0]).toBeLessThan(2 ** -8)
    expect(tf.max(relative).dataSync()[0]).toBeGreaterThan(0)
  })

  it('bfloat16 tensors can be used in a captured graph and a graph function', () => {
    const w = tf.keep(toComputeDtype(randomTensor('w', [4, 4])))
    const body = ({ x }: { x: tf.Tensor }) => {
      const half = toComputeDtype(x)
      const { y } = graphFunction('square', { inputs: { half, w } }, () => ({ y: matMul(half, w) }))
      return { y: toFloat32(y), half: toFloat32(half) }
    }
    const x = randomTensor('x', [3, 4])
    const [eager, graph] = [body({ x }), capture(body)]
    const captured = graph.run({ x })
    expect([...captured.half.dataSync()]).toEqual(rounded(x.dataSync()))
    expect([...captured.y.dataSync()]).toEqual([...eager.y.dataSync()])
    expect([...captured.y.dataSync()]).toEqual(rounded(captured.y.dataSync()))
    graph.dispose()
  })
})
