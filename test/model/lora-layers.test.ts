import { expect, it } from 'vitest'
import { startBackend } from '../../src/engine/backend.ts'
import { findTargetLinears } from '../../src/model/lora.ts'
import { adaptedLayers, kindOfLayer } from '../../src/model/lora-layers.ts'
import { loadSmallModel } from '../train/small-model.ts'

it('the layers that are adapted are the linear layers of the model that are found for a LoRA', async () => {
  await startBackend('wasm')
  const model = loadSmallModel()
  const names = findTargetLinears(model, ['to_k', 'to_q', 'to_v', 'to_out.0', 'proj', '2']).map(({ name }) => name)
  expect(adaptedLayers(model.blocks.length)).toEqual(names)
  expect(names).toHaveLength(10 * model.blocks.length)
  for (const name of names) expect(kindOfLayer(name)).toBe('adapted')
})
