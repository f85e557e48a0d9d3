/** Whether a run fits this machine: reported before anything is loaded, and refused where it cannot fit. */
import type { TrainSettings } from '../config/settings.ts'
import { defaultCacheFolder } from '../encode/cache.ts'
import { currentBackend } from '../engine/backend.ts'
import { capturesGraphs } from '../engine/capture.ts'
import { currentOperations } from '../engine/current-operations.ts'
import { nativeFacts } from '../engine/native.ts'
import { currentPrecision } from '../engine/precision.ts'
import { wasmMemoryBytes } from '../engine/wasm.ts'
import { freeBytesAt, readMemory } from '../machine/hardware.ts'
import { chooseCard, readCards, visibleCards } from '../machine/nvidia.ts'
import type { BaseModel } from '../model/base-model.ts'
import { UserError } from '../platform/errors.ts'
import type { Reporter } from '../platform/progress.ts'
import { sizeText } from '../platform/text.ts'
import type { TrainEvent } from './events.ts'
import { type EngineCosts, engineCosts, type MachineResources, type RunSize, requirementsOf } from './requirements.ts'

/**
 * Reports what a run needs and what this machine has.
 * @param folder where the files of the run go.
 * @throws UserError when the run cannot fit, unless `ignoreRequirements` is set.
 */
export async function checkResources(
  base: BaseModel,
  size: RunSize & Pick<TrainSettings, 'ignoreRequirements'>,
  folder: string,
  reporter: Reporter<TrainEvent>,
) {
  const { savesProbabilities } = currentOperations()
  const options = { recompute: size.recompute, hasGraphs: capturesGraphs(), savesProbabilities }
  const engine = engineCosts(currentBackend(), currentPrecision(), options)
  const resources = await readResources(folder)
  const requirements = requirementsOf(base, size, engine)
  await reporter.emit({ type: 'requirements', requirements, resources })
  const error = resourceError(base, size, engine, resources)
  if (error && !size.ignoreRequirements) throw error
  if (error) reporter.warn(`${error.message}; starting anyway`)
  else if (requirements.memory > resources.freeMemory)
    reporter.warn(`only ${sizeText(resources.freeMemory)} of memory are free now: close other programs`)
}

/** @param folder where the files of the run go. */
export async function readResources(folder: string): Promise<MachineResources> {
  const disks = { runDisk: freeBytesAt(folder), cacheDisk: freeBytesAt(defaultCacheFolder() ?? folder) }
  return { ...(await readTensorMemory()), ...disks }
}

async function readTensorMemory(): Promise<Pick<MachineResources, 'place' | 'memory' | 'freeMemory'>> {
  const { totalBytes, freeBytes } = readMemory()
  if (currentBackend() === 'tensorflow' && nativeFacts().device === 'GPU') {
    const { totalBytes: memory, freeBytes: freeMemory } = chooseCard(visibleCards(await readCards())) ?? {}
    if (memory !== undefined && freeMemory !== undefined) return { place: 'the graphics card', memory, freeMemory }
  }
  if (currentBackend() === 'wasm' && wasmMemoryBytes < totalBytes)
    return { place: 'the wasm backend', memory: wasmMemoryBytes, freeMemory: Math.min(freeBytes, wasmMemoryBytes) }
  return { place: 'this machine', memory: totalBytes, freeMemory: freeBytes }
}

/** Why the run cannot fit, with settings that would fit; undefined where it can. */
export function resourceError(
  base: BaseModel,
  size: RunSize,
  engine: EngineCosts,
  resources: MachineResources,
): UserError | undefined {
  const needed = requirementsOf(base, size, engine)
  if (needed.run > resources.runDisk || needed.cache > resources.cacheDisk)
    return new UserError(
      `this run needs ${sizeText(needed.run + needed.cache)} of disk, but ${sizeText(Math.min(resources.runDisk, resources.cacheDisk))} are free`,
      {
        hint: `choose another disk with --out and LTX_A2A_CACHE, a larger --checkpoint-interval, or --keep-checkpoints <number>; ${override}`,
      },
    )
  if (needed.memory <= resources.memory) return undefined
  return new UserError(
    `this run needs about ${sizeText(needed.memory)} of memory, but ${resources.place} has ${sizeText(resources.memory)} at most`,
    { hint: `${smallerRun(base, size, engine, resources)}; ${override}` },
  )
}

const override = '--ignore-requirements starts it anyway'

const smallerRanks = [64, 32, 16, 8]
const shorterClips = [20, 10, 5, 4, 3, 2, 1, 0.5]

/** The longest clips that fit, at the largest rank, with activation checkpointing only where it is needed. */
function smallerRun(base: BaseModel, size: RunSize, engine: EngineCosts, resources: MachineResources): string {
  const lengths = [size.audioDurationSeconds, ...shorterClips.filter((seconds) => seconds < size.audioDurationSeconds)]
  const ranks = [size.rank, ...smallerRanks.filter((rank) => rank < size.rank)]
  const checkpointed = { ...engine, recomputes: () => true }
  for (const audioDurationSeconds of lengths)
    for (const rank of ranks)
      for (const costs of [engine, checkpointed]) {
        const { memory } = requirementsOf(base, { ...size, rank, audioDurationSeconds }, costs)
        if (memory > resources.memory) continue
        const flags = [
          ...(audioDurationSeconds < size.audioDurationSeconds
            ? [`--audio-duration-seconds ${audioDurationSeconds}`]
            : []),
          ...(rank < size.rank ? [`--rank ${rank}`] : []),
          ...(costs === checkpointed ? ['--recompute on'] : []),
        ]
        return `it would fit with ${flags.join(' ')} (${sizeText(memory)})`
      }
  if (engine.name === 'wasm')
    return 'no settings make it fit there: set up native TensorFlow with ltx-a2a setup-tensorflow'
  return 'no settings make it fit: this base needs a machine with more memory'
}
