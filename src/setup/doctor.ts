/** The examination of a machine. What is missing is part of the report, not an error. */
import { findFfmpeg } from '../audio/ffmpeg.ts'
import { defaultCacheFolder } from '../encode/cache.ts'
import { type Backend, type BackendChoice, currentBackend, startBackend } from '../engine/backend.ts'
import { defaultDataFolder } from '../engine/installation.ts'
import { type NativeFacts, nativeFacts } from '../engine/native.ts'
import { type MatMulProbe, probeMatMul } from '../engine/precision.ts'
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
import { readCards } from '../machine/nvidia.ts'
import { type BaseOptions, openBase } from '../model/base-model.ts'
import { isAudioTensor } from '../model/checkpoint-layout.ts'
import { UserError } from '../platform/errors.ts'
import { createReporter, type ProgressEvent, type RunOptions } from '../platform/progress.ts'
import { sum } from '../platform/statistics.ts'
import { writeObstacle } from '../platform/user-folders.ts'
import { toolVersion } from '../platform/version.ts'

export type Missing = { failure: string; hint?: string }
type Found<Facts> = (Facts & { failure?: never; hint?: never }) | (Missing & Partial<Record<keyof Facts, never>>)

export type DoctorReport = {
  tool: string
  node: string
  system: string
  processor: Processor
  memory: Memory
  cards: string[]
  backend: Found<Backend>
  /** Only where native TensorFlow is the backend. */
  native?: NativeFacts
  /** Only where a backend started. */
  products?: Record<'float32' | 'bfloat16', MatMulProbe>
  ffmpeg: Found<{ path: string; from: string; version: string; rubberband: boolean }>
  base: Found<BaseFacts>
  disk: { folder: string; freeBytes: number }
  cache: UserFolder
  data: UserFolder
  proxies: Record<string, string>
}

/** `obstacle` is why it cannot be written to. */
export type UserFolder = { folder: string | null; bytes: number; obstacle?: string }

export type BaseFacts = {
  path: string
  isBundled: boolean
  fingerprint: string
  blocks: number
  width: number
  /** Of the audio path only. */
  parameters: number
}

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
  const backend = await found(() => startBackend(choice))
  const computes = backend.failure === undefined
  return {
    tool: toolVersion,
    node: process.versions.node,
    system: `${process.platform} ${process.arch}`,
    processor: readProcessor(),
    memory: readMemory(),
    cards: (await readCards()).map(({ name }) => name),
    backend,
    ...(computes && currentBackend() === 'tensorflow' && { native: nativeFacts() }),
    ...(computes && { products: { float32: probeMatMul('float32'), bfloat16: probeMatMul('bfloat16') } }),
    ffmpeg: await found(ffmpegFacts),
    base: await found(async () => baseFacts(base)),
    disk: { folder: process.cwd(), freeBytes: freeBytesAt(process.cwd()) },
    cache: userFolder(defaultCacheFolder()),
    data: userFolder(defaultDataFolder()),
    proxies: readProxies(),
  }
}

async function ffmpegFacts() {
  const { filters, ...facts } = await findFfmpeg()
  return { ...facts, rubberband: filters.has('rubberband') }
}

function baseFacts(options: BaseOptions): BaseFacts {
  const { checkpoint, config, fingerprint, isBundled, close } = openBase(options)
  try {
    const { num_layers, audio_num_attention_heads, audio_attention_head_dim } = config.transformer
    const sizes = [...checkpoint.tensors].map(([name, { shape }]) => (isAudioTensor(name) ? elementCount(shape) : 0))
    return {
      path: checkpoint.path,
      isBundled,
      fingerprint,
      blocks: num_layers,
      width: audio_num_attention_heads * audio_attention_head_dim,
      parameters: sum(sizes),
    }
  } finally {
    close()
  }
}

function userFolder(folder: string | undefined): UserFolder {
  const obstacle = writeObstacle(folder)
  const bytes = folder === undefined ? 0 : bytesIn(folder)
  return { folder: folder ?? null, bytes, ...(obstacle !== undefined && { obstacle }) }
}
