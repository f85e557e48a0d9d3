import * as tf from '@tensorflow/tfjs'
import { expect, it, vi } from 'vitest'
import { loraTargetModules } from '../../src/config/parameters.ts'
import { startBackend } from '../../src/engine/backend.ts'
import { detachLora } from '../../src/model/lora.ts'
import { createTrainer } from '../../src/train/trainer.ts'
import { loadSmallModel, smallPairs, smallSettings } from './small-model.ts'

it('a training on WebAssembly has the same losses and parameters with any number of threads', async () => {
  const results = []
  for (const threads of [1, 2, 5]) {
    vi.stubEnv('LTX_A2A_THREADS', String(threads))
    expect((await startBackend('wasm')).description).toContain(threads === 1 ? 'one thread' : `${threads} threads`)
    const model = loadSmallModel()
    const settings = { ...smallSettings, targetModules: loraTargetModules, steps: 4, accumulation: 2 }
    const trainer = createTrainer(model, smallPairs(3, 40), settings)
    const losses: number[] = []
    await trainer.run({ onStep: ({ loss }) => void losses.push(loss) })
    results.push({ losses, parameters: [...trainer.parameters].map(([name, value]) => [name, value.dataSync()]) })
    trainer.dispose()
    detachLora(model)
    tf.disposeVariables() // before the backend that they belong to is replaced
  }
  vi.unstubAllEnvs()
  expect(results[1]).toEqual(results[0])
  expect(results[2]).toEqual(results[0])
})
