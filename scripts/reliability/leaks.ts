/** A long training in this process, with what a real one does on the way: fixed losses and saved states. */
import { join } from 'node:path'
import type { EncodedPair } from '../../src/encode/dataset.ts'
import { type BackendChoice, startBackend } from '../../src/engine/backend.ts'
import type { HostMatrix } from '../../src/engine/device-tensors.ts'
import { openBase } from '../../src/model/base-model.ts'
import { loadTransformer } from '../../src/model/transformer/transformer.ts'
import { normals, randomFor } from '../../src/platform/random.ts'
import { resumeCheckOf } from '../../src/train/resume-check.ts'
import { saveState } from '../../src/train/run-writer.ts'
import { createTrainer } from '../../src/train/trainer.ts'
import { type Growth, growthOf } from './growth.ts'
import { type Memory, settledMemory } from './memory.ts'

export type Sample = Memory & { step: number }

export type LeakReport = {
  backend: string
  /** Every count of tensors that was seen after the warm-up; one where nothing leaks. */
  tensors: number[]
  /** Of the whole process, and of what JavaScript and TensorFlow.js hold. */
  resident: Growth
  held: Growth
  samples: Sample[]
}

export type LeakOptions = {
  folder: string
  steps: number
  backend?: BackendChoice
  /** Steps that are not judged: caches fill in them. */
  warmUp?: number
  sampleEvery?: number
  saveEvery?: number
  onSample?: (sample: Sample) => void
}

/** Half a second of sound, and what is left of a caption's 1024 tokens so that many steps fit into minutes. */
const [frames, tokens] = [12, 128]

export async function watchLeaks(options: LeakOptions): Promise<LeakReport> {
  const { folder, steps, backend = 'auto', warmUp = 1000, sampleEvery = 100, saveEvery = 500, onSample } = options
  const { name } = await startBackend(backend)
  const base = openBase()
  const { audio_num_attention_heads: heads, audio_attention_head_dim: headDim } = base.config.transformer
  const model = loadTransformer(base.components.transformer, base.config.transformer)
  const pairs = [0, 1, 2].map((number) => madeUpPair(number, heads * headDim))
  const settings = {
    ...{ rank: 8, alpha: 8, seed: 1, steps, learningRate: 0.0002, schedule: 'constant' as const, accumulation: 1 },
    targetModules: ['audio_attn1.to_q', 'audio_attn2.to_out.0', 'audio_ff.net.2'],
  }
  const trainer = createTrainer(model, pairs, settings)
  const identity = resumeCheckOf(base.fingerprint, pairs, settings)
  const samples: Sample[] = []
  await trainer.run({
    onStep: async ({ step }) => {
      if (step % saveEvery === 0) {
        trainer.fixedLoss()
        saveState(join(folder, 'state.safetensors'), trainer, identity)
      }
      if (step % sampleEvery !== 0) return
      const sample = { step, ...(await settledMemory()) }
      samples.push(sample)
      onSample?.(sample)
    },
  })
  trainer.dispose()
  const settled = samples.filter(({ step }) => step > warmUp)
  const growth = (of: (memory: Memory) => number) =>
    growthOf(
      settled.map((sample) => ({ step: sample.step, value: of(sample) })),
      Math.min(10, Math.ceil(settled.length / 2)),
    )
  return {
    backend: name,
    tensors: [...new Set(settled.map(({ tensors }) => tensors))],
    resident: growth(({ resident }) => resident),
    held: growth(({ heap, external }) => heap + external),
    samples,
  }
}

function madeUpPair(number: number, width: number): EncodedPair {
  const matrix = (purpose: string, rows: number, columns: number): HostMatrix => ({
    shape: [rows, columns],
    values: normals(randomFor(1, purpose, number), rows * columns),
  })
  return {
    name: `pair ${number}`,
    target: matrix('target', frames + number, 128),
    reference: matrix('reference', frames, 128),
    context: matrix('context', tokens, width),
  }
}
