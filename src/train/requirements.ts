/** What a run will take of the machine, from sizes alone: before anything is loaded, so that a run that cannot fit costs nothing. */

import type { TrainSettings } from '../config/settings.ts'
import type { BackendName } from '../engine/backend.ts'
import { mustRecompute } from '../engine/checkpointing.ts'
import { heldAs } from '../engine/device-tensors.ts'
import type { Precision } from '../engine/precision.ts'
import { type Dtype, elementCount } from '../formats/dtypes.ts'
import type { BaseModel } from '../model/base-model.ts'
import { openGemma } from '../model/text/gemma.ts'
import { contextLength } from '../model/text/tokenizer.ts'
import { keptBytes } from '../model/transformer/native/block-inputs.ts'

/** What decides how much a run takes. */
export type Demand = Pick<
  TrainSettings,
  'audioDurationSeconds' | 'targetModules' | 'numberOfSteps' | 'checkpointInterval' | 'previewInterval'
> & {
  rank: number
  /** Clips, and distinct texts, that will be encoded. */
  clips: number
  texts: number
  /** Those of the texts for which the text encoder is read. */
  unknownTexts: number
  previews: number
}

/** All in bytes. */
export type Requirements = {
  weights: number
  /** LoRA, its gradients and the optimizer's moments. */
  trained: number
  /** What one step keeps for its gradients. */
  step: number
  /** While captions are encoded, which is over before the weights are read. */
  captions: number
  /** At the most: while captions are encoded, or while it trains. */
  memory: number
  /** In the run's folder, and in the cache. */
  run: number
  cache: number
}

export type Engine = {
  name: BackendName
  /** Of a weight that is stored so; both orientations, where the backend keeps weights in both. */
  bytesPerWeight(dtype: Dtype): number
  /** How much of what a plain step keeps is kept here: of every block, and of the one that is being computed. */
  everyBlock: number
  oneBlock: number
  /** Whether blocks are computed again rather than keep so many bytes. */
  recomputes(bytes: number): boolean
  /** Of the text encoder's layer that is being applied: as it is read, and as the backend holds it. */
  bytesPerTextWeight: number
  /** Node, the libraries, and the data while it passes through. */
  ownBytes: number
}

/**
 * The shares of native TensorFlow, whose steps keep little, were measured at the released width with 2 to 6 blocks, 252 and 1002 tokens; the bytes per
 * text weight with `scripts/measure-text-encoder.ts`.
 */
export function engineOf(name: BackendName, precision: Precision): Engine {
  const bytes = bytesIn(precision)
  if (name === 'tensorflow')
    return {
      ...{ name, bytesPerWeight: (dtype: Dtype) => bytesIn(heldAs(dtype, precision)) },
      ...{ everyBlock: precision === 'float32' ? 0.09 : 0.065, oneBlock: 0.12, recomputes: mustRecompute },
      ...{ bytesPerTextWeight: 1.5 * bytes, ownBytes: 700e6 },
    }
  return {
    ...{ name, bytesPerWeight: () => (name === 'wasm' ? 8 : 4), everyBlock: 1, oneBlock: 0, recomputes: () => false },
    ...{ bytesPerTextWeight: 10, ownBytes: 250e6 },
  }
}

const bytesIn = (precision: Precision) => (precision === 'float32' ? 4 : 2)

export function requirementsOf(base: BaseModel, demand: Demand, engine: Engine): Requirements {
  const weights = transformerBytes(base, engine)
  const parameters = loraElements(base, demand)
  const trained = parameters * 16
  const step = stepBytes(base, demand.audioDurationSeconds, engine)
  const captions = demand.unknownTexts > 0 ? captionBytes(base, engine) : 0
  const checkpoints = times(demand.numberOfSteps, demand.checkpointInterval)
  const wav = demand.audioDurationSeconds * 48_000 * 2 * 4
  const run = parameters * 2 * checkpoints + parameters * 12 * 2 + wav * demand.previews * previewTimes(demand)
  const width = base.config.transformer.audio_cross_attention_dim
  const cache =
    4 * (demand.texts * contextLength * width + demand.clips * framesOf(demand.audioDurationSeconds) * patchWidth)
  const memory = Math.max(weights + trained + step, captions) + engine.ownBytes
  return { weights, trained, step, captions, memory, run, cache }
}

const framesOf = (seconds: number) => Math.ceil(25 * seconds) + 1

const patchWidth = 128

/**
 * How many float32 values a block of a plain step keeps until its gradient is taken, as multiples of its matrices' sizes: tokens × tokens and tokens × text per head,
 * text × width, tokens × width. Measured with `tf.profile` on steps of several lengths; a test compares.
 */
const kept = { selfScores: 5.6, textScores: 5, text: 42, tokens: 385 }

function stepBytes({ config: { transformer } }: BaseModel, seconds: number, engine: Engine): number {
  const heads = transformer.audio_num_attention_heads
  const width = heads * transformer.audio_attention_head_dim
  const tokens = 2 * framesOf(seconds)
  const plain =
    4 *
    (kept.selfScores * heads * tokens ** 2 +
      kept.textScores * heads * tokens * contextLength +
      kept.text * contextLength * width +
      kept.tokens * tokens * width)
  const [every, one] = [engine.everyBlock * plain, engine.oneBlock * plain]
  const blocks = transformer.num_layers
  if (engine.recomputes(blocks * keptBytes({ heads, width, inner: 4 * width }, tokens, contextLength)))
    return blocks * 4 * tokens * width + every + one
  return blocks * every + one
}

/** The text projection as it is stored and one layer of the tower; after those, the connector. */
function captionBytes({ checkpoint, textEncoder }: BaseModel, engine: Engine): number {
  const frozenBytes = (dtype: Dtype) => (engine.name === 'wasm' ? 4 : engine.bytesPerWeight(dtype)) // one orientation: there are no gradients
  let [projection, connector] = [0, 0]
  for (const [name, { dtype, shape, start, end }] of checkpoint.tensors) {
    if (name.includes('audio_aggregate_embed')) projection += end - start
    if (name.includes('audio_embeddings_connector.')) connector += elementCount(shape) * frozenBytes(dtype)
  }
  const layer = textEncoder === undefined ? 0 : textLayerElements(textEncoder) * engine.bytesPerTextWeight
  return Math.max(projection + layer, connector)
}

function textLayerElements(folder: string): number {
  const gemma = openGemma(folder)
  try {
    return [...gemma.file.tensors]
      .filter(([name]) => name.startsWith(`${gemma.prefix}layers.0.`))
      .reduce((sum, [, { shape }]) => sum + elementCount(shape), 0)
  } finally {
    gemma.close()
  }
}

const transformerTensor = /^model\.diffusion_model\.(?!audio_embeddings_connector\.)/

const transformerBytes = ({ checkpoint }: BaseModel, engine: Engine) =>
  [...checkpoint.tensors]
    .filter(([name]) => transformerTensor.test(name) && /audio/.test(name))
    .reduce((sum, [, { dtype, shape }]) => sum + elementCount(shape) * engine.bytesPerWeight(dtype), 0)

function loraElements({ checkpoint }: BaseModel, { rank, targetModules }: Demand): number {
  let elements = 0
  for (const [name, { shape }] of checkpoint.tensors)
    if (/\.transformer_blocks\./.test(name) && targetModules.some((module) => name.endsWith(`.${module}.weight`)))
      elements += rank * shape.reduce((sum, size) => sum + size, 0)
  return elements
}

const times = (steps: number, interval: number) => (interval > 0 ? Math.ceil(steps / interval) : 1)

/** How often previews are rendered: of the base first, unless they are wanted only at the end. */
export const previewTimes = ({
  numberOfSteps,
  previewInterval,
}: Pick<TrainSettings, 'numberOfSteps' | 'previewInterval'>) =>
  times(numberOfSteps, previewInterval) + (previewInterval > 0 ? 1 : 0)
