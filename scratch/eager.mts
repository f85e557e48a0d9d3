import * as tf from '@tensorflow/tfjs'
import { syntheticBase } from '../scripts/bench/synthetic-base.ts'
import { loraTargetModules } from '../src/config/parameters.ts'
import { pairRope, velocityLoss } from '../src/diffusion/flow-matching.ts'
import { startBackend } from '../src/engine/backend.ts'
import { nativeBackend } from '../src/engine/native.ts'
import { attachNewLora, findTargetLinears } from '../src/model/lora.ts'
import { loadTransformer } from '../src/model/transformer/transformer.ts'
import { randomFor } from '../src/platform/random.ts'
import { meanGradients } from '../src/train/step.ts'

await startBackend('tensorflow')
const blocks = 2
const { components, config } = syntheticBase(blocks)
const model = loadTransformer(components.transformer, config.transformer, { checkpointing: 'off' })
const parameters = attachNewLora(findTargetLinears(model, loraTargetModules), 32, 32, randomFor(1, 'l'))
const ex = {
  target: tf.randomNormal([1, 126, 128]),
  reference: tf.randomNormal([1, 126, 128]),
  noise: tf.randomNormal([1, 126, 128]),
  sigma: tf.tensor1d([0.5]),
  context: tf.randomNormal([1, 1024, 2048]),
} as never
const rope = pairRope(model, 126, 126)
const backend = nativeBackend() as any
const real = backend.binding
const stats = new Map<string, [number, number]>()
let on = false
backend.binding = new Proxy(Object.fromEntries(Object.getOwnPropertyNames(real).map((n) => [n, real[n]])), {
  get: (t: any, name) =>
    name === 'executeOp'
      ? (op: string, attrs: any, inputs: any, n: number) => {
          const t0 = performance.now()
          const r = real.executeOp(op, attrs, inputs, n)
          const d = performance.now() - t0
          if (on) {
            const key = op + ' → ' + r[0]?.dtype + ' [' + r[0]?.shape + ']'
            const s = stats.get(key) ?? [0, 0]
            s[0]++
            s[1] += d
            stats.set(key, s)
          }
          return r
        }
      : (t[name] ?? real[name]),
})
const step = () => {
  const { gradients } = meanGradients(parameters, [() => velocityLoss(model, ex, rope)])
  tf.dispose([...gradients.values()])
}
step()
step()
on = true
const t = performance.now()
const reps = 4
for (let i = 0; i < reps; i++) step()
console.log('eager step', ((performance.now() - t) / reps).toFixed(0), 'ms')
const byOp = new Map<string, number>()
let total = 0
for (const [k, [c, ms]] of stats) {
  const op = k.split(' ')[0] as string
  byOp.set(op, (byOp.get(op) ?? 0) + ms / reps)
  total += ms / reps
}
console.log('total', total.toFixed(0))
console.log(
  [...byOp]
    .sort((a, b) => b[1] - a[1])
    .slice(0, 14)
    .map(([k, v]) => `${k} ${v.toFixed(0)}`)
    .join(', '),
)
for (const [k, [c, ms]] of [...stats].sort((a, b) => b[1][1] - a[1][1]).slice(0, 45))
  console.log(String(c / reps).padStart(5), (ms / reps).toFixed(1).padStart(7), k)
