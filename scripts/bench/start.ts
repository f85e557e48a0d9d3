/** From the first byte of a checkpoint on disk to the first step: a file of some blocks of the released model, read once, and trained from. */
import { spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openSafetensors, type StoredTensor, writeSafetensors } from '../../src/checkpoint/safetensors.ts'
import { weightsOf } from '../../src/checkpoint/weights.ts'
import { currentBackend } from '../../src/engine/backend.ts'
import { currentPrecision } from '../../src/engine/precision.ts'
import { loadTransformer } from '../../src/model/transformer/transformer.ts'
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
  /** Reading the file once, into one buffer. */
  readSeconds: number
  loadSeconds: number
  /** What the first step takes longer than the others: the capture, and memory that is touched for the first time. */
  prepareSeconds: number
  secondsPerStep: number
  /** Loading and preparing, against reading. */
  ratioToReading: number
  peakRssGigabytes: number
}

const component = 'model.diffusion_model.'

export async function benchStart({ blocks, seconds, steps, rank, contextTokens }: StepBench): Promise<StartResult> {
  const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-bench-'))
  try {
    const path = join(folder, 'blocks.safetensors')
    writeSafetensors(path, syntheticTensors(blocks))
    const readSeconds = timeToRead(path)
    forget(path)
    const loading = performance.now()
    const file = openSafetensors(path)
    const model = loadTransformer(weightsOf(file, component), { ...released.transformer, num_layers: blocks })
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
    return {
      ...{ backend: currentBackend(), precision: currentPrecision(), blocks },
      fileGigabytes: statSync(path).size / 1e9,
      ...{ readSeconds, loadSeconds, prepareSeconds, secondsPerStep },
      ratioToReading: (loadSeconds + prepareSeconds) / readSeconds,
      peakRssGigabytes: peakGigabytes(),
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

/** Lets the system drop what it still has of the file in memory, where there is a dd that can ask for it. */
const forget = (path: string) => void spawnSync('dd', [`if=${path}`, 'iflag=nocache', 'count=0'], { stdio: 'ignore' })
