/** What a run needs, estimated from sizes alone before anything is loaded: memory and disk. */

import type { TrainSettings } from '../config/settings.ts'
import type { BackendName } from '../engine/backend.ts'
import { storagePrecision } from '../engine/device-tensors.ts'
import { type BackendMemory, backendMemory } from '../engine/memory.ts'
import type { Precision } from '../engine/precision.ts'
import { type Dtype, elementCount } from '../formats/dtypes.ts'
import { clipLatentFrames } from '../model/audio-vae/latents.ts'
import type { BaseModel } from '../model/base-model.ts'
import { isTargetModule } from '../model/lora.ts'
import { openTextEncoder } from '../model/text/text-encoder.ts'
import { contextLength } from '../model/text/tokenizer.ts'
import { type Checkpointing, savedActivationBytes, shouldCheckpoint } from '../model/transformer/checkpointing.ts'
import { sum } from '../platform/statistics.ts'

/** What decides how much a run needs. */
export type RunSize = Pick<
  TrainSettings,
  'audioDurationSeconds' | 'targetModules' | 'numberOfSteps' | 'checkpointInterval' | 'previewInterval'
> &
  Partial<Pick<TrainSettings, 'keepCheckpoints' | 'ema' | 'holdout' | 'holdoutData'>> & {
    rank: number
    recompute?: Checkpointing
    /** The number of clips to encode and cache. */
    clips: number
    /** The number of distinct texts to encode and cache. */
    texts: number
    /** How many of the texts need the text encoder. */
    unknownTexts: number
    /** The number of validation references. */
    previews: number
    /** The bytes of clips and recordings in the temporary folder. */
    temporary?: number
  }

/** What a dry run has measured. */
export type RunEstimate = {
  steps: number
  secondsPerStep: number
  trainingSeconds: number
  /** How many previews the run renders, and how long that takes in all. */
  previews: number
  previewSeconds: number
  /** How long the evaluations on held-out pairs take in all. */
  evaluationSeconds: number
  /** The peak of this process so far. */
  peakMemoryBytes: number
}

/** All in bytes. */
export type RunRequirements = {
  weights: number
  /** The LoRA, its gradients, the moments of the optimizer, and the moving average. */
  trained: number
  /** The activations that one step saves for its gradients. */
  step: number
  /** Used while captions are encoded, which ends before the weights are loaded. */
  captions: number
  /** The peak: while captions are encoded, or while training. */
  memory: number
  /** Disk for the folder of the run. */
  run: number
  /** Disk for the cache. */
  cache: number
  /** What is in the temporary folder until the run ends: the clips, and whole recordings with clips from random places. */
  temporary: number
}

/** What this machine has for a run, in bytes: the memory of the backend, and free disk space for the folder of the run and the cache. */
export type MachineResources = BackendMemory & { runDisk: number; cacheDisk: number }

/** What a backend needs per weight and per activation. */
export type EngineCosts = {
  name: BackendName
  precision: Precision
  /** Bytes in memory of a weight stored in this format, in all layouts that the backend keeps. */
  bytesPerWeight(dtype: Dtype): number
  /**
   * The shares of a block's activations under automatic gradients: what is kept for every block, and what the block being computed needs besides, from
   * saved activations or computing them again.
   */
  activationsPerBlock: number
  activationsOfOneBlock: number
  activationsOfRecomputedBlock: number
  /** Whether attention saves its probabilities. */
  savesProbabilities: boolean
  /** Whether blocks are recomputed in the backward pass instead of saving so many bytes of activations. */
  recomputes(savedBytes: number): boolean
  /** Bytes per weight of the text encoder's layer being applied: as it is read, and as the backend keeps it. */
  bytesPerTextWeight: number
  /** In the memory of the machine: Node, the libraries and the data. On a graphics card: the workspaces of CUDA's libraries, and gaps. */
  baseBytes: number
}

/** How the backend runs a step. */
export type EngineOptions = {
  recompute?: Checkpointing | undefined
  /** Whether native TensorFlow runs captured functions as graphs. */
  hasGraphs?: boolean
  /** Whether attention saves its probabilities. */
  savesProbabilities?: boolean
  /** The memory of the backend. */
  memory?: Pick<BackendMemory, 'place' | 'memory'>
}

/**
 * The shares of native TensorFlow were measured at the released width: with graphs with 2 to 6 blocks at 252 and 1002 tokens, also at 3002 where attention
 * saves no probabilities, without graphs with 2 and 4 blocks at 252 tokens in bfloat16. Those of the other backends were measured with the bundled base,
 * 1 to 4 blocks and clips of 0.5 to 5 s, and the bytes per weight of the text encoder with `scripts/measure-text-encoder.ts`. Nothing was measured on a
 * graphics card: its tensors are those of a processor without fused operations.
 */
export function engineCosts(
  name: BackendName,
  precision: Precision,
  { recompute = 'auto', hasGraphs = true, savesProbabilities = true, memory = backendMemory(name) }: EngineOptions = {},
): EngineCosts {
  const recomputes = (savedBytes: number) => shouldCheckpoint(recompute, savedBytes, memory.memory)
  if (name === 'tensorflow') {
    const shares = hasGraphs ? (savesProbabilities ? [0.065, 0.12] : [0.0155, 0.03]) : [0.08, 0.58]
    const [perBlock, ofOneBlock] = shares as [number, number]
    return {
      name,
      precision,
      bytesPerWeight: (dtype) => bytesIn(storagePrecision(dtype, precision)),
      activationsPerBlock: precision === 'float32' ? 1.4 * perBlock : perBlock,
      activationsOfOneBlock: ofOneBlock,
      activationsOfRecomputedBlock: perBlock + ofOneBlock,
      savesProbabilities,
      recomputes,
      bytesPerTextWeight: 1.5 * bytesIn(precision),
      baseBytes: memory.place === 'the graphics card' ? 1e9 : 700e6,
    }
  }
  return {
    name,
    precision,
    bytesPerWeight: (dtype) => (name === 'wasm' ? 8 : name === 'webgpu' && dtype === 'BF16' ? 2 : 4),
    activationsPerBlock: 0.095,
    activationsOfOneBlock: 0.68,
    activationsOfRecomputedBlock: 1.05,
    savesProbabilities,
    recomputes,
    bytesPerTextWeight: 10,
    baseBytes: 250e6,
  }
}

const bytesIn = (precision: Precision) => (precision === 'float32' ? 4 : 2)

/** @param engine the costs of the backend that the run uses. */
export function requirementsOf(base: BaseModel, size: RunSize, engine: EngineCosts): RunRequirements {
  const weights = transformerBytes(base, engine)
  const parameters = loraElements(base, size)
  const hasAverage = size.ema !== undefined && size.ema > 0
  const trained = parameters * (16 + (hasAverage ? averageBytes : 0))
  const step = stepBytes(base, size.audioDurationSeconds, engine)
  const captions = size.unknownTexts > 0 ? captionBytes(base, engine) : 0
  const loras = savedLoras(size) * (hasAverage ? 2 : 1) + (savesBest(size) ? 2 : 0) // the best one is replaced while the old file exists
  const wav = size.audioDurationSeconds * 48_000 * 2 * 4
  const run =
    parameters * 2 * loras + parameters * (hasAverage ? 16 : 12) * 2 + wav * size.previews * previewTimes(size)
  const { audio_cross_attention_dim: width, audio_in_channels: patchWidth } = base.config.transformer
  const clipElements = clipLatentFrames(size.audioDurationSeconds) * patchWidth
  const cache = 4 * (size.texts * contextLength * width + size.clips * clipElements)
  const memory = Math.max(weights + trained + step, captions) + engine.baseBytes
  return { weights, trained, step, captions, memory, run, cache, temporary: size.temporary ?? 0 }
}

/** The moving average of a parameter, and the copy that the parameter and the average are exchanged through for an evaluation. */
const averageBytes = 8

const savesBest = ({ holdout = 0, holdoutData }: Pick<RunSize, 'holdout' | 'holdoutData'>) =>
  holdout !== 0 || holdoutData !== undefined

/**
 * How many float32 values a block saves under automatic gradients, as multiples of the sizes of its matrices: tokens × tokens and tokens × text per
 * head, text × width, tokens × width. Measured with `tf.profile` on steps of several lengths; a test compares.
 */
const saved = { selfScores: 5.6, textScores: 5, text: 42, tokens: 385 }

function stepBytes({ config: { transformer } }: BaseModel, seconds: number, engine: EngineCosts): number {
  const heads = transformer.audio_num_attention_heads
  const width = heads * transformer.audio_attention_head_dim
  const tokens = 2 * clipLatentFrames(seconds)
  const block =
    4 *
    (saved.selfScores * heads * tokens ** 2 +
      saved.textScores * heads * tokens * contextLength +
      saved.text * contextLength * width +
      saved.tokens * tokens * width)
  const blocks = transformer.num_layers
  const lengths = { tokens, textTokens: contextLength, savesProbabilities: engine.savesProbabilities }
  const savedBytes = blocks * savedActivationBytes({ heads, width, inner: 4 * width }, lengths, engine.precision)
  return engine.recomputes(savedBytes)
    ? blocks * 4 * tokens * width + engine.activationsOfRecomputedBlock * block
    : blocks * engine.activationsPerBlock * block + engine.activationsOfOneBlock * block
}

/** First the text projection as it is stored and one layer of the text encoder; afterwards the connector. */
function captionBytes({ checkpoint, textEncoder }: BaseModel, engine: EngineCosts): number {
  const frozenBytes = (dtype: Dtype) => (engine.name === 'wasm' ? 4 : engine.bytesPerWeight(dtype)) // one layout: there are no gradients
  let [projection, connector] = [0, 0]
  for (const [name, { dtype, shape, start, end }] of checkpoint.tensors) {
    if (name.includes('audio_aggregate_embed')) projection += end - start
    if (name.includes('audio_embeddings_connector.')) connector += elementCount(shape) * frozenBytes(dtype)
  }
  const layer = textEncoder === undefined ? 0 : textLayerElements(textEncoder) * engine.bytesPerTextWeight
  return Math.max(projection + layer, connector)
}

/** The weights of the largest layer. */
function textLayerElements(textEncoder: string): number {
  const { config, weights, prefix, close } = openTextEncoder(textEncoder)
  try {
    const elementsOf = (layer: number) => {
      const tensors = [...weights.tensors].filter(([name]) => name.startsWith(`${prefix}layers.${layer}.`))
      return sum(tensors.map(([, { shape }]) => elementCount(shape)))
    }
    return Math.max(...config.layers.map((_, layer) => elementsOf(layer)))
  } finally {
    close()
  }
}

const transformerTensor = /^model\.diffusion_model\.(?!audio_embeddings_connector\.)/

const transformerBytes = ({ checkpoint }: BaseModel, engine: EngineCosts) =>
  sum(
    [...checkpoint.tensors]
      .filter(([name]) => transformerTensor.test(name) && /audio/.test(name))
      .map(([, { dtype, shape }]) => elementCount(shape) * engine.bytesPerWeight(dtype)),
  )

function loraElements({ checkpoint }: BaseModel, { rank, targetModules }: RunSize): number {
  const isAdapted = (name: string) =>
    /\.transformer_blocks\..*\.weight$/.test(name) &&
    targetModules.some((target) => isTargetModule(name.replace(/\.weight$/, ''), target))
  const adapted = [...checkpoint.tensors].filter(([name]) => isAdapted(name))
  return sum(adapted.map(([, { shape }]) => rank * sum(shape)))
}

export const timesInRun = (steps: number, interval: number) => (interval > 0 ? Math.ceil(steps / interval) : 1)

/** The LoRA and its checkpoints. An old checkpoint is removed after the next one was written. */
function savedLoras({ numberOfSteps, checkpointInterval, keepCheckpoints = 'all' }: RunSize): number {
  const checkpoints = timesInRun(numberOfSteps, checkpointInterval) - 1
  return 1 + (keepCheckpoints === 'all' ? checkpoints : Math.min(checkpoints, keepCheckpoints + 1))
}

/** How often previews are rendered at most: first with the base alone, unless they are wanted only at the end, and last with the best LoRA. */
export const previewTimes = ({
  numberOfSteps,
  previewInterval,
  ...heldOut
}: Pick<RunSize, 'numberOfSteps' | 'previewInterval' | 'holdout' | 'holdoutData'>) =>
  timesInRun(numberOfSteps, previewInterval) + (previewInterval > 0 ? 1 : 0) + (savesBest(heldOut) ? 1 : 0)
