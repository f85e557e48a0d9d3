/**
 * Trains the bundled base from synthesized sound, in stages. An interrupted stage resumes from its last state.
 *
 *     npx tsx scripts/pretrain-base.ts <stage> [--work <folder>] [--minutes <n>]
 *
 * Stages, in this order: clips, audio-vae, transformer, transformer-full-context, audio-vae-decoder, finish. `deepen` takes an earlier base with fewer blocks
 * as the start of the transformer. Needs native TensorFlow.
 */
import { appendFileSync, existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import * as tf from '@tensorflow/tfjs'
import { pairRope, velocityLoss } from '../src/diffusion/flow-matching.ts'
import { startBackend } from '../src/engine/backend.ts'
import { writeSafetensors } from '../src/formats/safetensors.ts'
import { trainedSize } from './base/sizes.ts'
import type { Tensors } from './base/tensors.ts'
import { makeTextEncoder } from './base/text-encoder.ts'
import {
  isDecoderWeight,
  isVaeWeight,
  type LogMels,
  loadEncoderAndDecoder,
  vaeBatch,
  vaeLoss,
} from './pretrain/audio-vae.ts'
import { initAudioVae } from './pretrain/audio-vae-init.ts'
import { writeCorpus } from './pretrain/corpus.ts'
import { deepen } from './pretrain/deepen.ts'
import { writeEffectPairs } from './pretrain/effect-pairs.ts'
import { readLogMels } from './pretrain/log-mels.ts'
import { baseMetadata, readStageCheckpoint, readTensors, writeStageCheckpoint } from './pretrain/stage-checkpoints.ts'
import { makeTrainable } from './pretrain/trainable.ts'
import { runTrainingLoop } from './pretrain/training-loop.ts'
import { fitLatentStatistics, trainingPairs } from './pretrain/training-pairs.ts'
import {
  initTransformer,
  isTransformerWeight,
  loadAudioStream,
  type TrainingPair,
  transformerBatch,
} from './pretrain/transformer.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    work: { type: 'string', default: 'runs/base' },
    minutes: { type: 'string', default: 'Infinity' },
    steps: { type: 'string' },
    clips: { type: 'string', default: '1600' },
    from: { type: 'string', default: 'fixtures/base/ltx-2.3-tiny-audio.safetensors' },
    out: { type: 'string', default: 'fixtures/base' },
  },
})
const { work } = values
const seconds = 60 * Number(values.minutes)
const corpus = join(work, 'corpus')
const pathOf = (name: string) => join(work, name)

const stages: Record<string, () => void | Promise<void>> = {
  clips: () => {
    writeCorpus(corpus, Number(values.clips), console.log)
    writeEffectPairs(corpus, console.log)
    console.log(`${readLogMels(corpus).count} log-mels`)
  },
  'audio-vae': trainAudioVae,
  'audio-vae-decoder': trainDecoder,
  transformer: () => trainTransformer('transformer', { contextRows: 128, learningRate: 8e-4, steps: 12_000 }),
  deepen: deepenTransformer,
  'transformer-full-context': () =>
    trainTransformer('transformer-full-context', { contextRows: 1024, learningRate: 3e-4, steps: 800 }),
  finish,
}

async function trainAudioVae() {
  const base = readStageCheckpoint(work)
  const logMels = readLogMels(corpus)
  if (!existsSync(pathOf('audio-vae.state'))) initAudioVae(base, logMels)
  trainVae('audio-vae', { base, logMels, isTrained: isVaeWeight, seed: 1, learningRate: 1.5e-3 })
  await fitLatentStatistics(base, logMels)
  writeStageCheckpoint(work, base)
}

/** Trains the decoder alone, so that the latents stay the same: it may come after the transformer. */
function trainDecoder() {
  const base = readStageCheckpoint(work)
  const logMels = readLogMels(corpus)
  trainVae('audio-vae-decoder', { base, logMels, isTrained: isDecoderWeight, seed: 2, learningRate: 1e-3 })
  writeStageCheckpoint(work, base)
}

type VaeStage = {
  base: Tensors
  logMels: LogMels
  isTrained(name: string): boolean
  /** Of the batches. */
  seed: number
  learningRate: number
}

/** Writes the trained weights into the base. */
function trainVae(name: string, { base, logMels, isTrained, seed, learningRate }: VaeStage) {
  const vae = makeTrainable(base, baseMetadata, loadEncoderAndDecoder, isTrained)
  runTrainingLoop({
    trainable: vae,
    inputsAt: (step) => vaeBatch(logMels, seed, step),
    lossOf: (inputs) => vaeLoss(vae.component, inputs),
    ...{ steps: Number(values.steps ?? 2600), learningRate, seconds, state: pathOf(`${name}.state`) },
    onStep: curveRecorder(name),
  })
  vae.store()
}

/** Takes a base of four blocks, with its audio VAE, as the start of the transformer with six. */
function deepenTransformer() {
  const base = readStageCheckpoint(work)
  const shallow = readTensors(values.from)
  for (const [name, tensor] of shallow) if (name.startsWith('audio_vae.')) base.set(name, tensor)
  writeStageCheckpoint(work, base)
  for (const [name, tensor] of deepen(shallow, [1, 2])) if (isTransformerWeight(name)) base.set(name, tensor)
  writeStageCheckpoint(work, base, 'transformer')
}

/** `contextRows` is explained at `transformerBatch`. */
type TransformerStage = { contextRows: number; learningRate: number; steps: number }

async function trainTransformer(name: string, { contextRows, learningRate, steps }: TransformerStage) {
  const isNew = !existsSync(pathOf('transformer.safetensors'))
  const base = readStageCheckpoint(work, isNew ? 'base' : 'transformer')
  if (isNew) initTransformer(base)
  makeTextEncoder(pathOf('gemma3-tiny'), trainedSize)
  const pairs = await trainingPairs(base, readLogMels(corpus), work, pathOf('gemma3-tiny'))
  const [{ reference, target }] = pairs as [TrainingPair]
  const model = makeTrainable(base, baseMetadata, loadAudioStream, isTransformerWeight)
  const { cos, sin } = pairRope(model.component, reference.shape[0], target.shape[0])
  const rope = { cos: tf.keep(cos), sin: tf.keep(sin) }
  runTrainingLoop({
    trainable: model,
    inputsAt: (step) => transformerBatch(pairs, { seed: contextRows, step, batch: 8, contextRows }),
    lossOf: (example) => ({ loss: velocityLoss(model.component, example, rope) }),
    ...{ steps: Number(values.steps ?? steps), learningRate, seconds, state: pathOf(`${name}.state`) },
    onStep: curveRecorder(name),
  })
  model.store()
  writeStageCheckpoint(work, base, 'transformer')
}

/** Combines the trained components in one checkpoint and writes the text encoder beside it. */
function finish() {
  const base = readStageCheckpoint(work)
  const components: [name: string, isComponent: (name: string) => boolean][] = [['transformer', isTransformerWeight]]
  for (const [component, isComponent] of components)
    for (const [name, tensor] of readStageCheckpoint(work, component)) if (isComponent(name)) base.set(name, tensor)
  writeSafetensors(join(values.out, 'ltx-2.3-tiny-audio.safetensors'), base, baseMetadata)
  makeTextEncoder(join(values.out, 'gemma3-tiny'), trainedSize)
}

/** Appends the mean of every 20 steps to the file of the stage's learning curve. */
function curveRecorder(name: string) {
  const sums: Record<string, number> = {}
  const started = performance.now()
  return (step: number, measures: Record<string, number>) => {
    for (const [measure, value] of Object.entries(measures)) sums[measure] = (sums[measure] ?? 0) + value
    if (step % 20 !== 0) return
    const means = Object.entries(sums).map(([measure, sum]) => [measure, Number((sum / 20).toFixed(5))])
    for (const measure of Object.keys(sums)) sums[measure] = 0
    const line = JSON.stringify({
      step,
      ...Object.fromEntries(means),
      s: Math.round((performance.now() - started) / 1000),
    })
    appendFileSync(pathOf(`${name}.jsonl`), `${line}\n`)
    if (step % 100 === 0) console.log(line)
  }
}

mkdirSync(work, { recursive: true })
await startBackend('tensorflow', { precision: 'float32' })
const stage = stages[positionals[0] ?? '']
if (!stage) throw new Error(`no stage ${positionals[0]}; the stages are ${Object.keys(stages).join(', ')}`)
await stage()
