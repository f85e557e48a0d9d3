/** The examination of a machine. What is missing is part of the report, not an error. */
import { findFfmpeg } from '../audio/ffmpeg.ts'
import { defaultCacheFolder } from '../encode/cache.ts'
import {
  type Backend,
  type BackendChoice,
  cardSituation,
  currentBackend,
  isBrokenTensorFlow,
  startBackend,
} from '../engine/backend.ts'
import { type CardSituation, cardsHere, cardWithoutCuda, unusedReason } from '../engine/card-use.ts'
import { cardOverrides, loadedTensorFlow } from '../engine/graphics-card.ts'
import { defaultDataFolder, ownTfjs } from '../engine/installation.ts'
import { type NativeFacts, nativeFacts } from '../engine/native.ts'
import { currentPrecision, type MatMulProbe, type Precision, probeMatMul } from '../engine/precision.ts'
import { elementCount } from '../formats/dtypes.ts'
import {
  bytesIn,
  freeBytesAt,
  type Memory,
  type Processor,
  readMemory,
  readProcessor,
  readProxies,
} from '../machine/hardware.ts'
import { type Card, type CudaBuild, readCards } from '../machine/nvidia.ts'
import { type BaseOptions, openBase } from '../model/base-model.ts'
import { isAudioTensor } from '../model/checkpoint-layout.ts'
import type { Release } from '../model/release.ts'
import { openTextEncoder } from '../model/text/text-encoder.ts'
import { UserError } from '../platform/errors.ts'
import { createReporter, type ProgressEvent, type RunOptions } from '../platform/progress.ts'
import { sum } from '../platform/statistics.ts'
import { writeObstacle } from '../platform/user-folders.ts'
import { toolVersion } from '../platform/version.ts'
import { findAddonMeans } from './addon-choice.ts'
import { findCudaFailure } from './cuda-failure.ts'
import { requirePrograms } from './tfjs-node.ts'

export type Missing = { failure: string; hint?: string }
type Found<Facts> = (Facts & { failure?: never; hint?: never }) | (Missing & Partial<Record<keyof Facts, never>>)

export type DoctorReport = {
  tool: string
  node: string
  system: string
  processor: Processor
  memory: Memory
  /** The names of NVIDIA's cards. */
  cards: string[]
  /** More about the same cards, in the same order. */
  graphicsCards: CardFacts[]
  /** What is wrong with nvidia-smi, if it is there but does not list the cards. */
  cardFailure?: string
  /** What the TensorFlow that was started can use; missing if it has no CUDA. */
  cudaBuild?: CudaBuild
  /** Variables of the user that change how a card computes, as in `NVIDIA_TF32_OVERRIDE=1`. */
  cardOverrides: string[]
  backend: Found<Backend>
  /** Only where native TensorFlow is the backend. */
  native?: NativeFacts
  /** The number format of matrix products in training and previews. Only where a backend started. */
  precision?: Found<{ name: Precision }>
  /** Only where a backend started. */
  products?: Record<'float32' | 'bfloat16', MatMulProbe>
  /** What `ltx-a2a setup-tensorflow` lacks on this machine. Looked for only where it would help. */
  setUp?: Missing
  ffmpeg: Found<{ path: string; from: string; version: string; rubberband: boolean }>
  base: Found<BaseFacts>
  disk: { folder: string; freeBytes: number }
  cache: UserFolder
  data: UserFolder
  proxies: Record<string, string>
}

export type CardFacts = Card & {
  /** Whether the backend that was started computes on it. */
  isUsed: boolean
  /** Whether `CUDA_VISIBLE_DEVICES` lets this process use it. */
  isVisible: boolean
  /** Why it is not used. */
  obstacle?: string
  /** What would use it. */
  remedy?: string
}

/** `obstacle` is why it cannot be written to. */
export type UserFolder = { folder: string | null; bytes: number; obstacle?: string }

export type BaseFacts = {
  path: string
  release: Release
  isBundled: boolean
  fingerprint: string
  blocks: number
  width: number
  /** Of the audio path only. */
  parameters: number
  /** Without one, sound is made by phase reconstruction. */
  hasVocoder: boolean
  textEncoder?: TextEncoderFacts
}

export type TextEncoderFacts = { path: string; gemma: 3 | 4; version?: string; layers: number }

export type DoctorSettings = BaseOptions & { backend?: BackendChoice | undefined }

/** @throws Interrupted when the signal was aborted. */
export async function examineMachine(
  { backend: choice = 'auto', ...base }: DoctorSettings = {},
  options: RunOptions<ProgressEvent> = {},
): Promise<DoctorReport> {
  const { throwIfAborted } = createReporter<ProgressEvent>(options)
  const found = async <Facts extends object>(look: () => Promise<Facts>): Promise<Found<Facts>> => {
    throwIfAborted()
    try {
      return await look()
    } catch (error) {
      if (error instanceof UserError) return { failure: error.message, ...(error.hint && { hint: error.hint }) }
      throw error
    }
  }
  const [here, overrides] = [cardsHere(await readCards()), cardOverrides()] // before the backend selects one
  const { cards, visible, failure: cardFailure } = here
  const backend = await found(() => startBackend(choice, { cards: here }))
  const computes = backend.failure === undefined
  const situation = await withCudaFailure({
    ...cardSituation(here, choice, { isBroken: isBroken(backend) }),
    ...(!computes && { device: undefined, used: undefined, build: undefined }),
  })
  const graphicsCards = cards.map(
    (card): CardFacts => ({
      ...card,
      isUsed: situation.used?.index === card.index,
      isVisible: visible.includes(card),
      ...unusedReason(card, situation),
    }),
  )
  const wantsSetUp = backend.name !== 'tensorflow' || graphicsCards.some(({ remedy }) => remedy !== undefined)
  const lacking = wantsSetUp ? await found(findMeans) : undefined
  return {
    tool: toolVersion,
    node: process.versions.node,
    system: `${process.platform} ${process.arch}`,
    processor: readProcessor(),
    memory: readMemory(),
    cards: cards.map(({ name }) => name),
    graphicsCards,
    ...(cardFailure !== undefined && { cardFailure }),
    ...(situation.build && { cudaBuild: situation.build }),
    cardOverrides: overrides,
    backend,
    ...(computes && currentBackend() === 'tensorflow' && { native: nativeFacts() }),
    ...(computes && { precision: await found(async () => ({ name: currentPrecision() })) }),
    ...(computes && { products: { float32: await probeMatMul('float32'), bfloat16: await probeMatMul('bfloat16') } }),
    ...(lacking?.failure !== undefined && { setUp: lacking }),
    ffmpeg: await found(ffmpegFacts),
    base: await found(async () => baseFacts(base)),
    disk: { folder: process.cwd(), freeBytes: freeBytesAt(process.cwd()) },
    cache: userFolder(defaultCacheFolder()),
    data: userFolder(defaultDataFolder()),
    proxies: readProxies(),
  }
}

const isBroken = ({ failure, passedOver = [] }: DoctorReport['backend']) =>
  failure === undefined
    ? passedOver.some(isBrokenTensorFlow)
    : isBrokenTensorFlow({ name: 'tensorflow', reason: failure })

/** Adds why CUDA does not start, where it should. */
async function withCudaFailure(situation: CardSituation): Promise<CardSituation> {
  const loaded = loadedTensorFlow()
  if (!loaded || !cardWithoutCuda(situation)) return situation
  return { ...situation, cudaFailure: await findCudaFailure(loaded) }
}

async function findMeans() {
  await requirePrograms()
  return findAddonMeans(ownTfjs().version)
}

async function ffmpegFacts() {
  const { filters, ...facts } = await findFfmpeg()
  return { ...facts, rubberband: filters.has('rubberband') }
}

function baseFacts(options: BaseOptions): BaseFacts {
  const { checkpoint, config, fingerprint, isBundled, release, textEncoder, close } = openBase(options)
  try {
    const { num_layers, audio_num_attention_heads, audio_attention_head_dim } = config.transformer
    const sizes = [...checkpoint.tensors].map(([name, { shape }]) => (isAudioTensor(name) ? elementCount(shape) : 0))
    return {
      path: checkpoint.path,
      release,
      isBundled,
      fingerprint,
      blocks: num_layers,
      width: audio_num_attention_heads * audio_attention_head_dim,
      parameters: sum(sizes),
      hasVocoder: config.vocoder !== undefined,
      ...(textEncoder !== undefined && !isBundled && { textEncoder: textEncoderFacts(textEncoder) }),
    }
  } finally {
    close()
  }
}

function textEncoderFacts(path: string): TextEncoderFacts {
  const { config, close } = openTextEncoder(path)
  close()
  const { generation: gemma, version, layers } = config
  return { path, gemma, ...(version !== undefined && { version }), layers: layers.length }
}

function userFolder(folder: string | undefined): UserFolder {
  const obstacle = writeObstacle(folder)
  const bytes = folder === undefined ? 0 : bytesIn(folder)
  return { folder: folder ?? null, bytes, ...(obstacle !== undefined && { obstacle }) }
}
