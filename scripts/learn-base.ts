/**
 * Teaches the bundled base from nothing but generated sound, stage by stage; each can be broken off and taken up again:
 * `npx tsx scripts/learn-base.ts <sounds|autoencoder|vocoder|stream|stream-full|finish> --work <folder> [--minutes <n>]`. Wants native TensorFlow.
 */
import { appendFileSync, existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import * as tf from '@tensorflow/tfjs'
import { pairRope, velocityLoss } from '../src/diffusion/flow-matching.ts'
import { startBackend } from '../src/engine/backend.ts'
import { writeSafetensors } from '../src/formats/safetensors.ts'
import { learnedSize } from './base/sizes.ts'
import { makeTextEncoder } from './base/text-encoder.ts'
import { isVaeWeight, loadHalves, vaeInputs, vaeLoss } from './learn/autoencoder.ts'
import { learnable } from './learn/learnable.ts'
import { learn } from './learn/learning.ts'
import { lessons, measureLatents } from './learn/lessons.ts'
import { makeLibrary } from './learn/library.ts'
import { startLinearly } from './learn/linear-start.ts'
import { mels } from './learn/mels.ts'
import { isStreamWeight, type Lesson, loadStream, startStream, streamInputs } from './learn/stream.ts'
import { baseMetadata, readBase, writeBase } from './learn/unfinished.ts'
import { makeVariations, readVariations } from './learn/variations.ts'
import { isVocoderWeight, loadMainGenerator, startVocoder, vocoderInputs, vocoderLoss } from './learn/vocoding.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    work: { type: 'string', default: 'runs/base' },
    minutes: { type: 'string', default: 'Infinity' },
    steps: { type: 'string' },
    sounds: { type: 'string', default: '800' },
    out: { type: 'string', default: 'fixtures/base' },
  },
})
const { work } = values
const seconds = 60 * Number(values.minutes)
const corpus = join(work, 'corpus')
const at = (name: string) => join(work, name)

const stages: Record<string, () => void | Promise<void>> = {
  sounds: () => {
    makeLibrary(corpus, Number(values.sounds), console.log)
    makeVariations(corpus, console.log)
    console.log(`${mels(corpus).count} log-mels`)
  },
  autoencoder: () => {
    const base = readBase(work)
    const heard = mels(corpus)
    if (!existsSync(at('autoencoder.state'))) startLinearly(base, heard)
    const vae = learnable(base, baseMetadata, loadHalves, isVaeWeight)
    learn({
      learnable: vae,
      inputsAt: (step) => vaeInputs(heard, 1, step),
      lossOf: (inputs) => vaeLoss(vae.component, inputs),
      ...{ steps: Number(values.steps ?? 2600), learningRate: 1.5e-3, seconds, state: at('autoencoder.state') },
      onStep: curve('autoencoder'),
    })
    vae.store()
    measureLatents(base, heard)
    writeBase(work, base)
  },
  vocoder: learnVocoder,
  stream: () => learnStream('stream', { rows: 128, learningRate: 1e-3, steps: 8500 }),
  'stream-full': () => learnStream('stream-full', { rows: 1024, learningRate: 3e-4, steps: 800 }),
  finish,
}

/** Puts what was learned into one checkpoint, beside its text encoder. */
function finish() {
  const base = readBase(work)
  const parts: [part: string, isPart: (name: string) => boolean][] = [
    ['stream', isStreamWeight],
    ['vocoder', (name) => name.startsWith('vocoder.')],
  ]
  for (const [part, isPart] of parts)
    for (const [name, tensor] of readBase(work, part)) if (isPart(name)) base.set(name, tensor)
  writeSafetensors(join(values.out, 'ltx-2.3-tiny-audio.safetensors'), base, baseMetadata)
  makeTextEncoder(join(values.out, 'gemma3-tiny'), learnedSize)
}

/** `rows` of the contexts; see `streamInputs`. */
type StreamStage = { rows: number; learningRate: number; steps: number }

async function learnStream(name: string, { rows, learningRate, steps }: StreamStage) {
  const isNew = !existsSync(at('stream.safetensors'))
  const base = readBase(work, isNew ? 'base' : 'stream')
  if (isNew) startStream(base)
  makeTextEncoder(at('gemma3-tiny'), learnedSize)
  const all = await lessons(base, mels(corpus), work, at('gemma3-tiny'))
  const [{ before, after }] = all as [Lesson]
  const model = learnable(base, baseMetadata, loadStream, isStreamWeight)
  const { cos, sin } = pairRope(model.component, before.shape[0], after.shape[0])
  const rotation = { cos: tf.keep(cos), sin: tf.keep(sin) }
  learn({
    learnable: model,
    inputsAt: (step) => streamInputs(all, { seed: rows, step, batch: 8, rows }),
    lossOf: (example) => ({ loss: velocityLoss(model.component, example, rotation) }),
    ...{ steps: Number(values.steps ?? steps), learningRate, seconds, state: at(`${name}.state`) },
    onStep: curve(name),
  })
  model.store()
  writeBase(work, base, 'stream')
}

function learnVocoder() {
  const isNew = !existsSync(at('vocoder.safetensors'))
  const base = readBase(work, isNew ? 'base' : 'vocoder')
  if (isNew) startVocoder(base)
  const sounds = readVariations(corpus).flatMap(({ before, after }) => [before.channels, after.channels])
  const generator = learnable(base, baseMetadata, loadMainGenerator, isVocoderWeight)
  learn({
    learnable: generator,
    inputsAt: (step) => vocoderInputs(sounds, 1, step),
    lossOf: vocoderLoss(generator.component),
    ...{ steps: Number(values.steps ?? 10_000), learningRate: 8e-4, seconds, state: at('vocoder.state') },
    onStep: curve('vocoder'),
  })
  generator.store()
  writeBase(work, base, 'vocoder')
}

/** Writes every twentieth step down, smoothed. */
function curve(name: string) {
  const sums: Record<string, number> = {}
  const started = performance.now()
  return (step: number, measures: Record<string, number>) => {
    for (const [measure, value] of Object.entries(measures)) sums[measure] = (sums[measure] ?? 0) + value
    if (step % 20 !== 0) return
    const rounded = Object.entries(sums).map(([measure, sum]) => [measure, Number((sum / 20).toFixed(5))])
    for (const measure of Object.keys(sums)) sums[measure] = 0
    const line = JSON.stringify({
      step,
      ...Object.fromEntries(rounded),
      s: Math.round((performance.now() - started) / 1000),
    })
    appendFileSync(at(`${name}.jsonl`), `${line}\n`)
    if (step % 100 === 0) console.log(line)
  }
}

mkdirSync(work, { recursive: true })
await startBackend('tensorflow')
const stage = stages[positionals[0] ?? '']
if (!stage) throw new Error(`no stage ${positionals[0]}; there are ${Object.keys(stages).join(', ')}`)
await stage()
