/** Whether a run fits this machine: told before anything is loaded, and refused where it cannot. */

import type { Terminal } from '../cli/terminal/terminal.ts'
import type { TrainSettings } from '../config/settings.ts'
import { defaultCacheFolder } from '../encode/cache.ts'
import { currentBackend, nativeFacts } from '../engine/backend.ts'
import { currentPrecision } from '../engine/precision.ts'
import { freeBytesAt, parseVideoMemory, readMemory, type VideoMemory } from '../machine/hardware.ts'
import { ProgramError, runProgram } from '../machine/programs.ts'
import type { BaseModel } from '../model/base-model.ts'
import { sizeText } from '../net/disk.ts'
import { UserError } from '../platform/errors.ts'
import { type Demand, type Engine, engineOf, type Requirements, requirementsOf } from './requirements.ts'

/**
 * Says what a run will take.
 * @param folder where its files go.
 * @throws UserError when it cannot fit, unless that is to be ignored.
 */
export async function tellFit(
  base: BaseModel,
  demand: Demand & Pick<TrainSettings, 'ignoreRequirements'>,
  folder: string,
  terminal: Terminal,
) {
  const engine = engineOf(currentBackend(), currentPrecision())
  const supply = await readSupply(folder)
  const needed = requirementsOf(base, demand, engine)
  for (const line of requirementLines(needed, supply)) terminal.note(line)
  const refusal = misfit(base, demand, engine, supply)
  if (refusal && !demand.ignoreRequirements) throw refusal
  if (refusal) terminal.warn(`${refusal.message}; tried all the same`)
  else if (needed.memory > supply.freeMemory)
    terminal.warn(`only ${sizeText(supply.freeMemory)} of memory are free now: close other programs`)
}

/** Two lines for the beginning of a run. */
export function requirementLines(needed: Requirements, { place, freeMemory, runDisk, cacheDisk }: Supply): string[] {
  const { weights, trained, step, captions, memory, run, cache } = needed
  const parts = [
    ...(captions > 0 ? [`encoding captions ${sizeText(captions)}, then`] : []),
    `weights ${sizeText(weights)}, LoRA and optimizer ${sizeText(trained)}, a step ${sizeText(step)}`,
  ]
  const kind = place === 'the graphics card' ? 'Graphics memory' : 'Memory'
  return [
    `${kind}: about ${sizeText(memory)} of ${sizeText(freeMemory)} (${parts.join(' ')})`,
    `Disk: about ${sizeText(run)} for the run, ${sizeText(cache)} for the cache, of ${sizeText(Math.min(runDisk, cacheDisk))}`,
  ]
}

/** Why the run cannot fit, with settings that would, or undefined. */
export function misfit(base: BaseModel, demand: Demand, engine: Engine, supply: Supply): UserError | undefined {
  const needed = requirementsOf(base, demand, engine)
  if (needed.run > supply.runDisk || needed.cache > supply.cacheDisk)
    return new UserError(
      `this run needs ${sizeText(needed.run + needed.cache)} of disk, but ${sizeText(Math.min(supply.runDisk, supply.cacheDisk))} are free`,
      { hint: `choose another disk with --out and LTX_A2A_CACHE, or a larger --checkpoint-interval; ${override}` },
    )
  if (needed.memory <= supply.memory) return undefined
  return new UserError(
    `this run needs about ${sizeText(needed.memory)} of memory, but ${supply.place} has ${sizeText(supply.memory)} at most`,
    { hint: `${advice(base, demand, engine, supply)}; ${override}` },
  )
}

const override = '--ignore-requirements tries it all the same'

const smallerRanks = [64, 32, 16, 8]
const shorterClips = [20, 10, 5, 4, 3, 2, 1, 0.5]

/** The longest clips that fit, at the largest rank, computing blocks again only if that is what it takes. */
function advice(base: BaseModel, demand: Demand, engine: Engine, supply: Supply): string {
  const lengths = [
    demand.audioDurationSeconds,
    ...shorterClips.filter((seconds) => seconds < demand.audioDurationSeconds),
  ]
  const ranks = [demand.rank, ...smallerRanks.filter((rank) => rank < demand.rank)]
  const again = { ...engine, recomputes: () => true }
  for (const audioDurationSeconds of lengths)
    for (const rank of ranks)
      for (const way of engine.name === 'tensorflow' ? [engine, again] : [engine]) {
        const { memory } = requirementsOf(base, { ...demand, rank, audioDurationSeconds }, way)
        if (memory > supply.memory) continue
        const flags = [
          ...(audioDurationSeconds < demand.audioDurationSeconds
            ? [`--audio-duration-seconds ${audioDurationSeconds}`]
            : []),
          ...(rank < demand.rank ? [`--rank ${rank}`] : []),
          ...(way === again ? ['--recompute on'] : []),
        ]
        return `it would fit with ${flags.join(' ')} (${sizeText(memory)})`
      }
  if (engine.name === 'wasm')
    return 'no settings make it fit there: set up native TensorFlow with ltx-a2a setup-tensorflow'
  return 'no settings make it fit: this base needs a machine with more memory'
}

/** What the machine has for a run. */

/** `memory` is what the backend can ever have, `freeMemory` what nothing else uses now. In bytes. */
export type Supply = { place: Place; memory: number; freeMemory: number; runDisk: number; cacheDisk: number }

/** Where tensors lie. */
export type Place = 'this machine' | 'the wasm backend' | 'the graphics card'

/** WebAssembly addresses no more. */
const wasmMemory = 2 ** 32

/** @param folder where the run's files go. */
export async function readSupply(folder: string): Promise<Supply> {
  const disks = { runDisk: freeBytesAt(folder), cacheDisk: freeBytesAt(defaultCacheFolder()) }
  return { ...(await readTensorMemory()), ...disks }
}

async function readTensorMemory(): Promise<Pick<Supply, 'place' | 'memory' | 'freeMemory'>> {
  const { totalBytes, freeBytes } = readMemory()
  if (currentBackend() === 'tensorflow' && nativeFacts().device === 'GPU') {
    const card = await readVideoMemory()
    if (card) return { place: 'the graphics card', memory: card.totalBytes, freeMemory: card.freeBytes }
  }
  if (currentBackend() === 'wasm' && wasmMemory < totalBytes)
    return { place: 'the wasm backend', memory: wasmMemory, freeMemory: Math.min(freeBytes, wasmMemory) }
  return { place: 'this machine', memory: totalBytes, freeMemory: freeBytes }
}

/** Of the first card; undefined where its driver tells nothing. */
export async function readVideoMemory(): Promise<VideoMemory | undefined> {
  try {
    const query = ['--query-gpu=memory.total,memory.free', '--format=csv,noheader,nounits']
    return parseVideoMemory(await runProgram('nvidia-smi', query))
  } catch (error) {
    if (error instanceof ProgramError) return undefined
    throw error
  }
}
