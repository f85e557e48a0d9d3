/** `bench start`: the time from opening a checkpoint to the end of the first step, with a file that has the blocks of the released model. */
import { spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { currentBackend } from '../../src/engine/backend.ts'
import { currentPrecision } from '../../src/engine/precision.ts'
import { openSafetensors, type StoredTensor, writeSafetensors } from '../../src/formats/safetensors.ts'
import { clipLatentFrames } from '../../src/model/audio-vae/latents.ts'
import { loadTransformer } from '../../src/model/transformer/transformer.ts'
import { weightsOf } from '../../src/model/weights.ts'
import { median } from '../../src/platform/statistics.ts'
import { createTrainer } from '../../src/train/trainer.ts'
import { releasedConfig, releasedShapes } from './released.ts'
import type { StepBenchOptions } from './step.ts'
import { syntheticWeights } from './synthetic-weights.ts'
import { peakGigabytes, secondsSince } from './timing.ts'
import { randomPair, trainerSettings } from './training.ts'

export type StartResult = {
  backend: string
  precision: string
  blocks: number
  fileGigabytes: number
  /** Reading the file once, into a small buffer. */
  readSeconds: number
  /** Allocating and touching as much memory as this process has at its peak. */
  memorySeconds: number
  loadSeconds: number
  /** Creating the trainer, and the first step minus the median of the others: mostly the capture, and memory that is touched for the first time. */
  prepareSeconds: number
  secondsPerStep: number
  /** `(loadSeconds + prepareSeconds) / readSeconds` */
  ratioToReading: number
  /** `(loadSeconds + prepareSeconds) / (readSeconds + memorySeconds)` */
  ratioToReadingAndMemory: number
  peakRssGigabytes: number
}

const component = 'model.diffusion_model.'

export async function benchStart(bench: StepBenchOptions): Promise<StartResult> {
  const { blocks, seconds, steps, rank, contextTokens, checkpointing } = bench
  const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-bench-'))
  try {
    const path = join(folder, 'blocks.safetensors')
    writeSafetensors(path, syntheticTensors(blocks))
    const readSeconds = timeReading(path)
    dropFromPageCache(path)
    const fileBytes = statSync(path).size
    const memorySecondsPerGigabyte = measureMemoryAllocation(2 * fileBytes)
    const loadStarted = performance.now()
    const file = openSafetensors(path)
    const config = { ...releasedConfig.transformer, num_layers: blocks }
    const model = loadTransformer(weightsOf(file, component), config, { checkpointing })
    file.close()
    const loadSeconds = secondsSince(loadStarted)
    const stepSeconds: number[] = []
    const createStarted = performance.now()
    const trainer = createTrainer(
      model,
      [randomPair(clipLatentFrames(seconds), contextTokens)],
      trainerSettings(rank, steps + 1),
    )
    const createSeconds = secondsSince(createStarted)
    await trainer.run({ onStep: (report) => void stepSeconds.push(report.seconds) })
    const [firstStep = 0, ...otherSteps] = stepSeconds
    const secondsPerStep = median(otherSteps)
    const prepareSeconds = createSeconds + firstStep - secondsPerStep
    const peakRssGigabytes = peakGigabytes()
    const memorySeconds = memorySecondsPerGigabyte * peakRssGigabytes
    return {
      ...{ backend: currentBackend(), precision: currentPrecision(), blocks },
      fileGigabytes: fileBytes / 1e9,
      ...{ readSeconds, memorySeconds, loadSeconds, prepareSeconds, secondsPerStep },
      ratioToReading: (loadSeconds + prepareSeconds) / readSeconds,
      ratioToReadingAndMemory: (loadSeconds + prepareSeconds) / (readSeconds + memorySeconds),
      peakRssGigabytes,
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** The tensors of the audio transformer with so many blocks. The bytes of each are generated when it is written. */
function syntheticTensors(blocks: number): Map<string, StoredTensor> {
  const weights = syntheticWeights(component)
  const tensors = new Map<string, StoredTensor>()
  for (const [name, shape] of releasedShapes(component)) {
    if (!name.includes('audio') || name.includes('embeddings_connector')) continue
    const isBlock = name.startsWith('transformer_blocks.0.')
    for (let block = 0; block < (isBlock ? blocks : 1); block++) {
      const inner = name.replace(/^(transformer_blocks\.)0/, `$1${block}`)
      const bytes = () => weights.read(inner, shape).bytes
      tensors.set(`${component}${inner}`, {
        ...{ dtype: 'BF16', shape: [...shape] },
        get bytes() {
          return bytes()
        },
      })
    }
  }
  return tensors
}

function timeReading(path: string): number {
  dropFromPageCache(path)
  const buffer = new Uint8Array(2 ** 24)
  const started = performance.now()
  const file = openSync(path, 'r')
  while (readSync(file, buffer) > 0);
  closeSync(file)
  return secondsSince(started)
}

/**
 * Seconds per 10⁹ bytes that a new process takes to allocate this memory and touch each of its pages. On a virtual machine this can grow with the
 * number of bytes.
 */
function measureMemoryAllocation(bytes: number): number {
  const count = Math.ceil(bytes / 2 ** 27)
  const touch = `
    const started = performance.now()
    const parts = Array.from({ length: ${count} }, () => Buffer.allocUnsafeSlow(2 ** 27))
    for (const part of parts) for (let at = 0; at < part.length; at += 4096) part[at] = 1
    console.log((performance.now() - started) / 1000)`
  const { stdout } = spawnSync(process.execPath, ['-e', touch], { encoding: 'utf8' })
  return Number(stdout) / ((count * 2 ** 27) / 1e9)
}

/** Removes the file from the page cache, if the system's dd can do this. */
const dropFromPageCache = (path: string) =>
  void spawnSync('dd', [`if=${path}`, 'iflag=nocache', 'count=0'], { stdio: 'ignore' })
