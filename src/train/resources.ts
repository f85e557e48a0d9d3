/** Whether a run fits this machine: reported before anything is loaded, and refused where it cannot fit. */
import type { TrainSettings } from '../config/settings.ts'
import { defaultCacheFolder } from '../encode/cache.ts'
import { currentBackend } from '../engine/backend.ts'
import { capturesGraphs } from '../engine/capture.ts'
import { currentOperations } from '../engine/current-operations.ts'
import { backendMemory } from '../engine/memory.ts'
import { currentPrecision } from '../engine/precision.ts'
import { freeBytesAt } from '../machine/hardware.ts'
import type { BaseModel } from '../model/base-model.ts'
import type { Checkpointing } from '../model/transformer/checkpointing.ts'
import { UserError } from '../platform/errors.ts'
import type { Reporter } from '../platform/progress.ts'
import { sizeText } from '../platform/text.ts'
import type { TrainEvent } from './events.ts'
import { type EngineCosts, engineCosts, type MachineResources, type RunSize, requirementsOf } from './requirements.ts'

/**
 * Reports what a run needs and what this machine has.
 * @param folder where the files of the run go.
 * @returns how the run must treat activations: `auto` becomes `on` where the run fits only so.
 * @throws UserError when the run cannot fit, unless `ignoreRequirements` is set.
 */
export async function checkResources(
  base: BaseModel,
  size: RunSize & Pick<TrainSettings, 'ignoreRequirements'>,
  folder: string,
  reporter: Reporter<TrainEvent>,
): Promise<Checkpointing> {
  const resources = readResources(folder)
  const { savesProbabilities } = currentOperations()
  const options = { hasGraphs: capturesGraphs(), savesProbabilities, memory: resources }
  const costsOf = (recompute: Checkpointing) =>
    engineCosts(currentBackend(), currentPrecision(), { ...options, recompute })
  const { recompute, engine } = fittingEngine(base, size, costsOf, resources.memory)
  const requirements = requirementsOf(base, size, engine)
  await reporter.emit({ type: 'requirements', requirements, resources })
  if (recompute !== (size.recompute ?? 'auto'))
    reporter.info('Activations are computed again in the backward pass (--recompute on): all of them do not fit')
  const error = resourceError(base, size, engine, resources)
  if (error && !size.ignoreRequirements) throw error
  if (error) reporter.warn(`${error.message}; starting anyway`)
  else if (requirements.memory > resources.freeMemory)
    reporter.warn(`only ${sizeText(resources.freeMemory)} of memory are free now: close other programs`)
  return recompute
}

/** @param folder where the files of the run go. */
export const readResources = (folder: string): MachineResources => ({
  ...backendMemory(),
  runDisk: freeBytesAt(folder),
  cacheDisk: freeBytesAt(defaultCacheFolder() ?? folder),
})

/**
 * How a run treats activations, and what it then costs. Activations that take a small share of the memory are saved; where they do not fit beside the
 * weights, they are computed again if that fits. The memory that other programs use does not matter, so that a resumed run does the same.
 * @param costsOf the costs on the backend.
 * @param memory what the backend can use, in bytes.
 */
export function fittingEngine(
  base: BaseModel,
  size: RunSize,
  costsOf: (recompute: Checkpointing) => EngineCosts,
  memory: number,
): { recompute: Checkpointing; engine: EngineCosts } {
  const fits = (engine: EngineCosts) => requirementsOf(base, size, engine).memory <= memory
  const recompute = size.recompute ?? 'auto'
  const [engine, checkpointed] = [costsOf(recompute), costsOf('on')]
  if (recompute === 'auto' && !fits(engine) && fits(checkpointed)) return { recompute: 'on', engine: checkpointed }
  return { recompute, engine }
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
        code: 'machine_error',
      },
    )
  const { place, memory, freeMemory, card } = resources
  const needs = `this run needs about ${sizeText(needed.memory)} of memory`
  if (needed.memory > memory) {
    const has = card
      ? `TensorFlow can use ${sizeText(memory)} of the ${sizeText(card.totalBytes)} of ${card.name}`
      : `${place} has ${sizeText(memory)} at most`
    const { hint, parameter } = smallerRun(base, size, engine, { available: memory, card })
    return new UserError(`${needs}, but ${has}`, { hint: `${hint}; ${override}`, parameter })
  }
  if (!card || needed.memory <= freeMemory) return undefined // the system makes room in the memory of a machine
  return new UserError(`${needs}, but other programs leave ${sizeText(freeMemory)} of ${card.name} to TensorFlow`, {
    hint: `close them, or choose another card with CUDA_VISIBLE_DEVICES; ${smallerRun(base, size, engine, { available: freeMemory, card }).hint}; ${override}`,
    code: 'machine_error',
  })
}

const override = '--ignore-requirements starts it anyway'

const smallerRanks = [64, 32, 16, 8]
const shorterClips = [20, 10, 5, 4, 3, 2, 1, 0.5]

/** The longest clips that fit, at the largest rank, with activation checkpointing only where it is needed; and the first parameter to change. */
function smallerRun(
  base: BaseModel,
  size: RunSize,
  engine: EngineCosts,
  { available, card }: { available: number; card: MachineResources['card'] },
): { hint: string; parameter: string } {
  const lengths = [size.audioDurationSeconds, ...shorterClips.filter((seconds) => seconds < size.audioDurationSeconds)]
  const ranks = [size.rank, ...smallerRanks.filter((rank) => rank < size.rank)]
  const checkpointed = { ...engine, recomputes: () => true }
  for (const audioDurationSeconds of lengths)
    for (const rank of ranks)
      for (const costs of [engine, checkpointed]) {
        const { memory } = requirementsOf(base, { ...size, rank, audioDurationSeconds }, costs)
        if (memory > available) continue
        const changes = [
          ...(audioDurationSeconds < size.audioDurationSeconds
            ? [['audio_duration_seconds', audioDurationSeconds] as const]
            : []),
          ...(rank < size.rank ? [['rank', rank] as const] : []),
          ...(costs === checkpointed ? [['recompute', 'on'] as const] : []),
        ]
        const flags = changes.map(([name, value]) => `--${name.replaceAll('_', '-')} ${value}`)
        return {
          hint: `it would fit with ${flags.join(' ')} (${sizeText(memory)})`,
          parameter: changes[0]?.[0] ?? 'model',
        }
      }
  return { hint: noneFits(engine, card), parameter: 'model' }
}

function noneFits(engine: EngineCosts, card: MachineResources['card']): string {
  if (engine.name === 'wasm')
    return 'no settings make it fit there: set up native TensorFlow with ltx-a2a setup-tensorflow'
  if (card) return 'no settings make it fit there: CUDA_VISIBLE_DEVICES=-1 runs it on the processor, with its memory'
  return 'no settings make it fit: this base needs a machine with more memory'
}
