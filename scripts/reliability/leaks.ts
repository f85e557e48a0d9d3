/** A long training in this process, which evaluates the fixed loss and saves states as a real run does. */
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
import { type Memory, memoryAfterGc } from './memory.ts'

export type Sample = Memory & { step: number }

export type LeakReport = {
  backend: string
  /** The distinct numbers of tensors after the warm-up. Without a leak there is one. */
  tensors: number[]
  /** The growth of the RSS, and of the heap plus external memory. */
  rss: Growth
  heapAndExternal: Growth
  samples: Sample[]
}

export type LeakOptions = {
  folder: string
  steps: number
  backend?: BackendChoice
  /** The number of steps at the start that are ignored, because caches fill up. */
  warmUp?: number
  sampleEvery?: number
  saveEvery?: number
  onSample?: (sample: Sample) => void
}

/** Half a second of audio, and 128 of a caption's 1024 tokens, so that steps are short. */
const [frames, tokens] = [12, 128]

export async function leakTest(options: LeakOptions): Promise<LeakReport> {
  const { folder, steps, backend = 'auto', warmUp = 1000, sampleEvery = 100, saveEvery = 500, onSample } = options
  const { name } = await startBackend(backend)
  const base = openBase()
  const { audio_num_attention_heads: heads, audio_attention_head_dim: headDim } = base.config.transformer
  const model = loadTransformer(base.components.transformer, base.config.transformer)
  const pairs = [0, 1, 2].map((number) => syntheticPair(number, heads * headDim))
  const settings = {
    ...{ rank: 8, alpha: 8, seed: 1, steps, learningRate: 0.0002, schedule: 'constant' as const, accumulation: 1 },
    targetModules: ['audio_attn1.to_q', 'audio_attn2.to_out.0', 'audio_ff.net.2'],
  }
  const trainer = createTrainer(model, pairs, settings)
  const check = resumeCheckOf(base.fingerprint, pairs, settings)
  const samples: Sample[] = []
  await trainer.run({
    onStep: async ({ step }) => {
      if (step % saveEvery === 0) {
        await trainer.evaluate()
        await saveState(join(folder, 'state.safetensors'), trainer, check)
      }
      if (step % sampleEvery !== 0) return
      const sample = { step, ...(await memoryAfterGc()) }
      samples.push(sample)
      onSample?.(sample)
    },
  })
  trainer.dispose()
  const measured = samples.filter(({ step }) => step > warmUp)
  const growth = (of: (memory: Memory) => number) =>
    growthOf(
      measured.map((sample) => ({ step: sample.step, value: of(sample) })),
      Math.min(10, Math.ceil(measured.length / 2)),
    )
  return {
    backend: name,
    tensors: [...new Set(measured.map(({ tensors }) => tensors))],
    rss: growth(({ rss }) => rss),
    heapAndExternal: growth(({ heap, external }) => heap + external),
    samples,
  }
}

function syntheticPair(number: number, width: number): EncodedPair {
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
