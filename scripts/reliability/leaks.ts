/** A long training in this process, with what a real one does on the way: fixed losses and saved states. */
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import * as tf from '@tensorflow/tfjs'
import { type BackendChoice, startBackend } from '../../src/engine/backend.ts'
import type { HostMatrix } from '../../src/engine/host-matrix.ts'
import { openBaseModel } from '../../src/model/base-model.ts'
import { loadTransformer } from '../../src/model/transformer/transformer.ts'
import { normals, randomFor } from '../../src/random.ts'
import { identityOf } from '../../src/train/identity.ts'
import { saveState } from '../../src/train/saved-state.ts'
import { createTrainer, type EncodedPair } from '../../src/train/trainer.ts'

export type Sample = { step: number; tensors: number; mib: number }

export type LeakReport = {
  backend: string
  /** Every count of tensors that was seen; one where nothing leaks. */
  tensors: number[]
  /** Of the resident memory, from the thousand steps after the first thousand to the last thousand. */
  growth: number
  samples: Sample[]
}

export type LeakOptions = {
  folder: string
  steps: number
  backend?: BackendChoice
  /** Steps that are not looked at: caches fill in them. */
  warmUp?: number
  onSample?: (sample: Sample) => void
}

const collectGarbage = (() => {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc') as () => void
})()

/** Half a second of sound, and what is left of a caption's 1024 tokens so that many steps fit into minutes. */
const [frames, tokens] = [12, 128]
const sampleEvery = 100
const saveEvery = 500

export async function watchLeaks(options: LeakOptions): Promise<LeakReport> {
  const { folder, steps, backend = 'auto', warmUp = 1000, onSample } = options
  const { name } = await startBackend(backend)
  const base = openBaseModel()
  const { audio_num_attention_heads: heads, audio_attention_head_dim: headDim } = base.config.transformer
  const model = loadTransformer(base.components.transformer, base.config.transformer)
  const pairs = [0, 1, 2].map((number) => madeUpPair(number, heads * headDim))
  const settings = {
    ...{ rank: 8, alpha: 8, seed: 1, steps, learningRate: 0.0002, schedule: 'constant' as const, accumulation: 1 },
    targetModules: ['audio_attn1.to_q', 'audio_attn2.to_out.0', 'audio_ff.net.2'],
  }
  const trainer = createTrainer(model, pairs, settings)
  const identity = identityOf(base.fingerprint, pairs, settings)
  const samples: Sample[] = []
  await trainer.run({
    onStep: ({ step }) => {
      if (step % saveEvery === 0) {
        trainer.fixedLoss()
        saveState(join(folder, 'state.safetensors'), trainer, identity)
      }
      if (step % sampleEvery !== 0) return
      collectGarbage() // what is not collected yet is no leak
      const sample = { step, tensors: tf.memory().numTensors, mib: process.memoryUsage.rss() / 2 ** 20 }
      samples.push(sample)
      onSample?.(sample)
    },
  })
  trainer.dispose()
  const settled = samples.filter(({ step }) => step > warmUp)
  const window = Math.min(1000 / sampleEvery, Math.ceil(settled.length / 2))
  return {
    backend: name,
    tensors: [...new Set(settled.map(({ tensors }) => tensors))],
    growth: mean(settled.slice(-window)) / mean(settled.slice(0, window)) - 1,
    samples,
  }
}

const mean = (samples: readonly Sample[]) => samples.reduce((sum, { mib }) => sum + mib, 0) / samples.length

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
