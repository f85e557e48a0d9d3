import { describe, expect, it } from 'vitest'
import { loraTargetModules } from '../../src/config/parameters.ts'
import { startBackend } from '../../src/engine/backend.ts'
import { openBase } from '../../src/model/base-model.ts'
import { createReporter } from '../../src/platform/progress.ts'
import type { TrainEvent } from '../../src/train/events.ts'
import { engineCosts, type MachineResources, type RunSize, requirementsOf } from '../../src/train/requirements.ts'
import { checkResources, resourceError } from '../../src/train/resources.ts'

const base = openBase()
const wasm = engineCosts('wasm', 'float32')
const demand: RunSize = {
  rank: 32,
  audioDurationSeconds: 5,
  targetModules: loraTargetModules,
  numberOfSteps: 2000,
  checkpointInterval: 250,
  previewInterval: 250,
  clips: 20,
  texts: 12,
  unknownTexts: 0,
  previews: 2,
}
/** Enough for clips of 2 s. */
const tooLittle = requirementsOf(base, { ...demand, audioDurationSeconds: 2 }, wasm).memory
const plenty: MachineResources = {
  place: 'this machine',
  memory: 64e9,
  freeMemory: 64e9,
  runDisk: 1e12,
  cacheDisk: 1e12,
}

describe('a run that exceeds the resources', () => {
  const refusal = (supply: Partial<MachineResources>, of: RunSize = demand, engine = wasm) => {
    const error = resourceError(base, of, engine, { ...plenty, ...supply })
    if (error) return `${error.message} / ${error.hint}`
    return 'it fits'
  }

  it('is refused with a suggestion of shorter clips or a smaller rank that would fit', () => {
    expect(refusal({})).toBe('it fits')
    expect(refusal({ memory: tooLittle })).toMatch(
      /^this run needs about \d+ MB of memory, but this machine has \d+ MB at most \/ it would fit with --audio-duration-seconds 2 \(\d+ MB\); --ignore-requirements starts it anyway$/,
    )
    const { memory } = requirementsOf(base, { ...demand, rank: 16 }, wasm)
    expect(refusal({ memory })).toMatch(/it would fit with --rank 16 /)
  })

  it('is refused without a suggestion if no settings would fit', () => {
    expect(refusal({ memory: 1e6 })).toMatch(/no settings make it fit: this base needs|set up native TensorFlow/)
    expect(refusal({ memory: 1e6 }, demand, engineCosts('cpu', 'float32'))).toMatch(
      /no settings make it fit: this base needs a machine with more memory;/,
    )
  })

  it('is refused with a suggestion of activation checkpointing if that makes it fit', () => {
    const native = { ...engineCosts('tensorflow', 'bfloat16'), recomputes: () => false }
    const long = { ...demand, audioDurationSeconds: 60 }
    const { memory } = requirementsOf(base, long, { ...native, recomputes: () => true })
    expect(refusal({ memory }, long, native)).toMatch(/it would fit with --recompute on \(/)
  })

  it('is refused with the name of the memory that is too small', () => {
    expect(refusal({ memory: tooLittle, place: 'the wasm backend' })).toMatch(/but the wasm backend has \d+ MB at most/)
    expect(refusal({ memory: tooLittle, place: 'the graphics card' })).toMatch(
      /but the graphics card has \d+ MB at most/,
    )
  })

  it('starts with a warning if requirements are ignored', async () => {
    await startBackend('wasm')
    const events: TrainEvent[] = []
    const reporter = createReporter<TrainEvent>({ onEvent: (event) => void events.push(event) })
    const tooMuch = { ...demand, rank: 100_000 }
    await expect(checkResources(base, { ...tooMuch, ignoreRequirements: false }, '.', reporter)).rejects.toThrow(
      /this run needs/,
    )
    expect(events.map(({ type }) => type)).toEqual(['requirements'])
    await checkResources(base, { ...tooMuch, ignoreRequirements: true }, '.', reporter)
    expect(events.slice(1)).toEqual([
      {
        type: 'requirements',
        requirements: expect.anything(),
        resources: expect.objectContaining({ place: expect.any(String), memory: expect.any(Number) }),
      },
      { type: 'warning', message: expect.stringMatching(/^this run needs .*; starting anyway$/) },
    ])
  })

  it('is refused if the disk is too small', () => {
    expect(refusal({ runDisk: 1000 })).toMatch(
      /^this run needs \d+ MB of disk, but 1000 bytes are free \/ choose another disk/,
    )
    expect(refusal({ cacheDisk: 1000 })).toMatch(/of disk/)
  })
})
