/** From the first byte of a checkpoint on disk to the first step: a file of some blocks of the released model, read once, and trained from. */
import { spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { currentBackend } from '../../src/engine/backend.ts'
import { currentPrecision } from '../../src/engine/precision.ts'
import { openSafetensors, type StoredTensor, writeSafetensors } from '../../src/formats/safetensors.ts'
import { loadTransformer } from '../../src/model/transformer/transformer.ts'
import { weightsOf } from '../../src/model/weights.ts'
import { createTrainer } from '../../src/train/trainer.ts'
import { median, peakGigabytes, since } from './clock.ts'
import { released, releasedShapes } from './released.ts'
import { randomPair, type StepBench, settings } from './step.ts'
import { syntheticWeights } from './synthetic-weights.ts'

export type StartResult = {
  backend: string
  precision: string
  blocks: number
  fileGigabytes: number
  /** Reading the file once, into one small buffer. */
  readSeconds: number
  /** What the machine takes to hand as much memory to a process as this one had at its peak. */
  memorySeconds: number
  loadSeconds: number
  /** What the first step takes longer than the others: the capture, and memory that is touched for the first time. */
  prepareSeconds: number
  secondsPerStep: number
  /** Loading and preparing, against reading. */
  ratioToReading: number
  /** The same against reading, and having the memory. */
  ratioToReadingAndMemory: number
  peakRssGigabytes: number
}

const component = 'model.diffusion_model.'

export async function benchStart(bench: StepBench): Promise<StartResult> {
  const { blocks, seconds, steps, rank, contextTokens, checkpointing } = bench
  const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-bench-'))
  try {
    const path = join(folder, 'blocks.safetensors')
    writeSafetensors(path, syntheticTensors(blocks))
    const readSeconds = timeToRead(path)
    forget(path)
    const fileBytes = statSync(path).size
    const memoryRate = memorySecondsPerGigabyte(2 * fileBytes)
    const loading = performance.now()
    const file = openSafetensors(path)
    const config = { ...released.transformer, num_layers: blocks }
    const model = loadTransformer(weightsOf(file, component), config, { checkpointing })
    file.close()
    const loadSeconds = since(loading)
    const times: number[] = []
    const creating = performance.now()
    const trainer = createTrainer(model, [randomPair(25 * seconds + 1, contextTokens)], settings(rank, steps + 1))
    const createSeconds = since(creating)
    await trainer.run({ onStep: (report) => void times.push(report.seconds) })
    const [firstStep = 0, ...warm] = times
    const secondsPerStep = median(warm)
    const prepareSeconds = createSeconds + firstStep - secondsPerStep
    const peakRssGigabytes = peakGigabytes()
    const memorySeconds = memoryRate * peakRssGigabytes
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

/** The transformer's names and shapes, with as many blocks; the bytes of each are made when it is written. */
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

function timeToRead(path: string): number {
  forget(path)
  const buffer = new Uint8Array(2 ** 24)
  const reading = performance.now()
  const file = openSync(path, 'r')
  while (readSync(file, buffer) > 0);
  closeSync(file)
  return since(reading)
}

/** A process of its own touches every page of so many bytes for the first time: a few cost less, where the machine is a virtual one. */
function memorySecondsPerGigabyte(bytes: number): number {
  const count = Math.ceil(bytes / 2 ** 27)
  const touch = `
    const started = performance.now()
    const parts = Array.from({ length: ${count} }, () => Buffer.allocUnsafeSlow(2 ** 27))
    for (const part of parts) for (let at = 0; at < part.length; at += 4096) part[at] = 1
    console.log((performance.now() - started) / 1000)`
  const { stdout } = spawnSync(process.execPath, ['-e', touch], { encoding: 'utf8' })
  return Number(stdout) / ((count * 2 ** 27) / 1e9)
}

/** Lets the system drop what it still has of the file in memory, where there is a dd that can ask for it. */
const forget = (path: string) => void spawnSync('dd', [`if=${path}`, 'iflag=nocache', 'count=0'], { stdio: 'ignore' })
