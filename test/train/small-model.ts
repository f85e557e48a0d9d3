/** The small transformer of the golden checkpoint, with training pairs and settings. */

import type { EncodedPair } from '../../src/encode/dataset.ts'
import type { HostMatrix } from '../../src/engine/device-tensors.ts'
import { openSafetensors } from '../../src/formats/safetensors.ts'
import { ltxComponents } from '../../src/model/checkpoint-layout.ts'
import { readModelConfig } from '../../src/model/config.ts'
import { loadTransformer } from '../../src/model/transformer/transformer.ts'
import { normals, randomFor } from '../../src/platform/random.ts'
import type { TrainerSettings } from '../../src/train/trainer.ts'
import { goldenPath } from '../golden/golden.ts'

export function loadSmallModel() {
  const checkpoint = openSafetensors(goldenPath('tiny-ltx-2.3.safetensors'))
  return loadTransformer(ltxComponents(checkpoint).transformer, readModelConfig(checkpoint).transformer)
}

const matrix = (name: string, rows: number, columns: number): HostMatrix => ({
  shape: [rows, columns],
  values: normals(randomFor(1, name), rows * columns),
})

/** Random pairs; the target is the amplified reference. */
export const smallPairs = (count: number, frames = 6): EncodedPair[] =>
  Array.from({ length: count }, (_, i) => {
    const reference = matrix(`reference ${i}`, frames, 128)
    const target = { shape: reference.shape, values: reference.values.map((value) => 1.5 * value) }
    return { name: `pair-${i}`, reference, target, context: matrix('context', 8, 64) }
  })

export const smallSettings: TrainerSettings = {
  rank: 4,
  alpha: 4,
  targetModules: ['audio_attn1.to_q', 'audio_ff.net.2'],
  seed: 1,
  steps: 12,
  learningRate: 5e-3,
  schedule: 'linear',
  accumulation: 1,
}
