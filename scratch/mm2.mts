import * as tf from '@tensorflow/tfjs'
import { startBackend } from '../src/engine/backend.ts'
import { matMul, toComputeDtype } from '../src/engine/native-ops.ts'
await startBackend('tensorflow', { precision: 'bfloat16' })
const m = (r: number, c: number) => tf.tidy(() => toComputeDtype(tf.randomNormal([r, c])) as tf.Tensor2D)
const time = (f: () => tf.Tensor) => { const ts: number[] = []; for (let i = 0; i < 12; i++) { const t = performance.now(); const y = f(); ts.push(performance.now() - t); y.dispose() } ts.sort((a, b) => a - b); return ts[3] as number }
for (const [name, M, K, N] of [['q', 2048, 2048, 252], ['kv', 2048, 2048, 1024], ['up', 8192, 2048, 252], ['floor',1024,2048,2048]] as const) {
  const A = m(M, K), At = m(K, M), B = m(K, N), Bt = m(N, K)
  console.log(name, ([['A·B', () => matMul(A, B)], ['At·B', () => matMul(At, B, { transposeA: true })], ['A·Bt', () => matMul(A, Bt, { transposeB: true })]] as [string, () => tf.Tensor][]).map(([l, f]) => `${l} ${(2 * M * K * N / time(f) / 1e9).toFixed(2)}`).join(' '))
  tf.dispose([A, At, B, Bt])
}
