import * as tf from '@tensorflow/tfjs'
import { syntheticBase } from '../scripts/bench/synthetic-base.ts'
import { loraTargetModules } from '../src/config/parameters.ts'
import { pairRope, velocityLoss } from '../src/diffusion/flow-matching.ts'
import { startBackend } from '../src/engine/backend.ts'
import { attachNewLora, findTargetLinears } from '../src/model/lora.ts'
import { loadTransformer } from '../src/model/transformer/transformer.ts'
import { randomFor } from '../src/platform/random.ts'
import { startOptimizer } from '../src/train/optimizer.ts'
import { createStep } from '../src/train/step.ts'

await startBackend('tensorflow')
const blocks = Number(process.argv[2] ?? 4)
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
const step = createStep(parameters, startOptimizer(parameters), (e: any) => velocityLoss(model, e, rope))
const binding = (tf.backend() as any).binding
const times: number[] = []
let u0 = process.resourceUsage()
for (let i = 0; i < Number(process.argv[3] ?? 8); i++) { if (i === 2) u0 = process.resourceUsage(); if (i === 5 && binding.metaOn) binding.metaOn(); const t = performance.now(); const { loss } = step.run([ex], { learningRate: 1e-4 }); times.push(performance.now() - t); if (i < 3) console.log(loss) }
const u = process.resourceUsage(),
  n = times.length - 2
console.log(
  times.map((t) => t.toFixed(0)).join(' '),
  'per step: faults',
  (u.minorPageFault - u0.minorPageFault) / n,
  'sys',
  (u.systemCPUTime - u0.systemCPUTime) / n / 1e3,
  'user',
  (u.userCPUTime - u0.userCPUTime) / n / 1e3,
)
if (binding.metaGet) (await import('node:fs')).writeFileSync('/tmp/w/meta.pb', binding.metaGet())
