/** What a run will take of the machine, from sizes alone: before anything is loaded, so that a run that cannot fit costs nothing. */
import { elementCount } from '../checkpoint/dtypes.ts'
import type { TrainSettings } from '../config/train-settings.ts'
import { freeBytesAt, readMemory } from '../doctor/machine.ts'
import { defaultCacheFolder } from '../encode/cache.ts'
import { type BackendName, currentBackend } from '../engine/backend.ts'
import { currentPrecision, type Precision } from '../engine/precision.ts'
import { UserError } from '../errors.ts'
import type { BaseModel } from '../model/base-model.ts'
import { contextLength } from '../model/text/tokenizer.ts'
import { sizeText } from '../pull/disk.ts'
import type { Terminal } from '../report/terminal.ts'

/** What decides how much a run takes. */
export type Demand = Pick<
  TrainSettings,
  'audioDurationSeconds' | 'targetModules' | 'numberOfSteps' | 'checkpointInterval' | 'previewInterval'
> & {
  rank: number
  /** Clips, and distinct texts, that will be encoded. */
  clips: number
  texts: number
  previews: number
}

/** All in bytes. */
export type Requirements = {
  weights: number
  /** LoRA, its gradients and the optimizer's moments. */
  trained: number
  /** What one step keeps for its gradients. */
  step: number
  memory: number
  /** In the run's folder, and in the cache. */
  run: number
  cache: number
}

export type Engine = {
  name: BackendName
  /** Both orientations, where the backend keeps weights in both. */
  bytesPerWeight: number
  /** How much of what a plain step keeps is kept here: of every block, and of the one that is being computed. */
  everyBlock: number
  oneBlock: number
  /** Node, the libraries, and the data while it passes through. */
  ownBytes: number
}

/** The shares of native TensorFlow, whose steps keep little, were measured at the released width with 2 and 4 blocks, 252 and 1002 tokens. */
export function engineOf(name: BackendName, precision: Precision): Engine {
  const bytes = precision === 'float32' ? 4 : 2
  if (name === 'tensorflow')
    return { name, bytesPerWeight: bytes, everyBlock: (0.065 * bytes) / 2, oneBlock: 0.12, ownBytes: 700e6 }
  return { name, bytesPerWeight: name === 'wasm' ? 8 : 4, everyBlock: 1, oneBlock: 0, ownBytes: 250e6 }
}

export function requirementsOf(base: BaseModel, demand: Demand, engine: Engine): Requirements {
  const weights = transformerElements(base) * engine.bytesPerWeight
  const parameters = loraElements(base, demand)
  const trained = parameters * 16
  const step = stepBytes(base, demand.audioDurationSeconds, engine)
  const checkpoints = times(demand.numberOfSteps, demand.checkpointInterval)
  const wav = demand.audioDurationSeconds * 48_000 * 2 * 4
  const run =
    parameters * 2 * checkpoints +
    parameters * 12 * 2 +
    wav * demand.previews * times(demand.numberOfSteps, demand.previewInterval)
  const width = base.config.transformer.audio_cross_attention_dim
  const cache =
    4 * (demand.texts * contextLength * width + demand.clips * framesOf(demand.audioDurationSeconds) * patchWidth)
  return { weights, trained, step, memory: weights + trained + step + engine.ownBytes, run, cache }
}

const framesOf = (seconds: number) => Math.ceil(25 * seconds) + 1

const patchWidth = 128

/**
 * How many float32 values a block of a plain step keeps until its gradient is taken, as multiples of its matrices' sizes: tokens × tokens and tokens × text per head,
 * text × width, tokens × width. Measured with `tf.profile` on steps of several lengths; a test compares.
 */
const kept = { selfScores: 5.6, textScores: 5, text: 42, tokens: 385 }

function stepBytes({ config: { transformer } }: BaseModel, seconds: number, { everyBlock, oneBlock }: Engine): number {
  const heads = transformer.audio_num_attention_heads
  const width = heads * transformer.audio_attention_head_dim
  const tokens = 2 * framesOf(seconds)
  const perBlock =
    kept.selfScores * heads * tokens ** 2 +
    kept.textScores * heads * tokens * contextLength +
    kept.text * contextLength * width +
    kept.tokens * tokens * width
  return 4 * perBlock * (everyBlock * transformer.num_layers + oneBlock)
}

const transformerTensor = /^model\.diffusion_model\.(?!audio_embeddings_connector\.)/

const transformerElements = ({ checkpoint }: BaseModel) =>
  [...checkpoint.tensors].reduce(
    (sum, [name, { shape }]) => (transformerTensor.test(name) && /audio/.test(name) ? sum + elementCount(shape) : sum),
    0,
  )

function loraElements({ checkpoint }: BaseModel, { rank, targetModules }: Demand): number {
  let elements = 0
  for (const [name, { shape }] of checkpoint.tensors)
    if (/\.transformer_blocks\./.test(name) && targetModules.some((module) => name.endsWith(`.${module}.weight`)))
      elements += rank * shape.reduce((sum, size) => sum + size, 0)
  return elements
}

const times = (steps: number, interval: number) => (interval > 0 ? Math.ceil(steps / interval) : 1)

/** What is there. `memory` is what the backend can ever have, `freeMemory` what nothing else uses now. */
export type Supply = { memory: number; freeMemory: number; runDisk: number; cacheDisk: number }

/** WebAssembly addresses no more. */
const wasmMemory = 2 ** 32

export function supplyOf({ name }: Engine, runDisk: number, cacheDisk: number): Supply {
  const { totalBytes, freeBytes } = readMemory()
  const limit = name === 'wasm' ? wasmMemory : Number.POSITIVE_INFINITY
  return { memory: Math.min(totalBytes, limit), freeMemory: Math.min(freeBytes, limit), runDisk, cacheDisk }
}

/**
 * Says what a run will take, and refuses one that cannot fit.
 * @param folder where its files go.
 */
export function tellRequirements(base: BaseModel, demand: Demand, folder: string, terminal: Terminal) {
  const engine = engineOf(currentBackend(), currentPrecision())
  const supply = supplyOf(engine, freeBytesAt(folder), freeBytesAt(defaultCacheFolder()))
  const needed = requirementsOf(base, demand, engine)
  for (const line of requirementLines(needed, supply)) terminal.note(line)
  requireFit(base, demand, engine, supply)
  if (needed.memory > supply.freeMemory)
    terminal.warn(`only ${sizeText(supply.freeMemory)} of memory are free now: close other programs`)
}

/** Two lines for the beginning of a run. */
export function requirementLines(needed: Requirements, supply: Supply): string[] {
  const { weights, trained, step, memory, run, cache } = needed
  return [
    `Memory: about ${sizeText(memory)} of ${sizeText(supply.freeMemory)} (weights ${sizeText(weights)}, LoRA and optimizer ${sizeText(trained)}, a step ${sizeText(step)})`,
    `Disk: about ${sizeText(run)} for the run, ${sizeText(cache)} for the cache, of ${sizeText(Math.min(supply.runDisk, supply.cacheDisk))}`,
  ]
}

/**
 * @throws UserError when the run cannot fit, with settings that would.
 */
export function requireFit(base: BaseModel, demand: Demand, engine: Engine, supply: Supply) {
  const needed = requirementsOf(base, demand, engine)
  if (needed.run > supply.runDisk || needed.cache > supply.cacheDisk)
    throw new UserError(
      `this run needs ${sizeText(needed.run + needed.cache)} of disk, but ${sizeText(Math.min(supply.runDisk, supply.cacheDisk))} are free`,
      { hint: 'choose another disk with --out and LTX_A2A_CACHE, or a larger --checkpoint-interval' },
    )
  if (needed.memory <= supply.memory) return
  const place = engine.name === 'wasm' && supply.memory === wasmMemory ? 'the wasm backend has' : 'this machine has'
  throw new UserError(
    `this run needs about ${sizeText(needed.memory)} of memory, but ${place} ${sizeText(supply.memory)} at most`,
    { hint: advice(base, demand, engine, supply) },
  )
}

const smallerRanks = [64, 32, 16, 8]
const shorterClips = [20, 10, 5, 4, 3, 2, 1, 0.5]

function advice(base: BaseModel, demand: Demand, engine: Engine, supply: Supply): string {
  const lengths = [
    demand.audioDurationSeconds,
    ...shorterClips.filter((seconds) => seconds < demand.audioDurationSeconds),
  ]
  const ranks = [demand.rank, ...smallerRanks.filter((rank) => rank < demand.rank)]
  for (const audioDurationSeconds of lengths)
    for (const rank of ranks) {
      const { memory } = requirementsOf(base, { ...demand, rank, audioDurationSeconds }, engine)
      if (memory > supply.memory) continue
      const flags = [
        ...(audioDurationSeconds < demand.audioDurationSeconds
          ? [`--audio-duration-seconds ${audioDurationSeconds}`]
          : []),
        ...(rank < demand.rank ? [`--rank ${rank}`] : []),
      ]
      return `it would fit with ${flags.join(' ')} (${sizeText(memory)})`
    }
  if (engine.name === 'wasm')
    return 'no settings make it fit there: set up native TensorFlow with ltx-a2a setup-tensorflow'
  return 'no settings make it fit: this base needs a machine with more memory'
}
