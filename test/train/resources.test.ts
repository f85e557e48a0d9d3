import { describe, expect, it } from 'vitest'
import { loraTargetModules } from '../../src/config/parameters.ts'
import { startBackend } from '../../src/engine/backend.ts'
import { backendMemory } from '../../src/engine/memory.ts'
import { parseCards } from '../../src/machine/nvidia.ts'
import { openBase } from '../../src/model/base-model.ts'
import type { Checkpointing } from '../../src/model/transformer/checkpointing.ts'
import { createReporter } from '../../src/platform/progress.ts'
import type { TrainEvent } from '../../src/train/events.ts'
import { engineCosts, type MachineResources, type RunSize, requirementsOf } from '../../src/train/requirements.ts'
import { checkResources, fittingEngine, resourceError } from '../../src/train/resources.ts'
import { releasedSize } from './released-size.ts'

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

describe('on a graphics card, a run of the released model', () => {
  const released = releasedSize(base)
  /** What happens on a card with so many MiB, as nvidia-smi reports them. */
  const outcomeOn = (total: number, size: Partial<RunSize> = {}, free = total) => {
    const [card] = parseCards(`0, GPU-1, 550.1, ${total}, ${free}, 8.9, [N/A], A card`)
    const memory = backendMemory('tensorflow', card)
    const run = { ...demand, ...size }
    const costsOf = (recompute: Checkpointing) => engineCosts('tensorflow', 'bfloat16', { memory, recompute })
    const { recompute, engine } = fittingEngine(released, run, costsOf, memory.memory)
    const error = resourceError(released, run, engine, { ...plenty, ...memory })
    const savedBytes = requirementsOf(released, run, engine).step
    return { recompute, savedBytes, refusal: error && `${error.message} / ${error.hint}` }
  }

  it('is refused on 8 GB, which the weights need alone, with the numbers of the card', () => {
    expect(outcomeOn(8192).refusal).toMatch(
      /^this run needs about 1\d\.\d+ GB of memory, but TensorFlow can use 6\.56 GB of the 8\.59 GB of GPU 0, A card \/ no settings make it fit there: CUDA_VISIBLE_DEVICES=-1 runs it on the processor, with its memory; --ignore-requirements/,
    )
  })

  it('computes activations again on 12 GB, although they would take a small share of the memory', () => {
    const { recompute, refusal } = outcomeOn(12_288)
    expect([recompute, refusal]).toEqual(['on', undefined])
    expect(outcomeOn(12_288, { recompute: 'off' }).refusal).toMatch(/it would fit with --recompute on \(/)
  })

  it('saves activations on 24 GB, and those of long clips are computed again', () => {
    const [short, long] = [outcomeOn(24_564), outcomeOn(24_564, { audioDurationSeconds: 20 })]
    expect([short.recompute, short.refusal]).toEqual(['auto', undefined])
    expect([long.recompute, long.refusal]).toEqual(['auto', undefined])
    expect(short.savedBytes).toBeGreaterThan(4e9)
    expect(long.savedBytes).toBeLessThan(short.savedBytes)
  })

  it('is refused if it does not fit beside other programs, which can be closed', () => {
    const { recompute, refusal } = outcomeOn(24_564, {}, 9000)
    expect(recompute).toBe('auto') // a resumed run does the same
    expect(refusal).toMatch(
      /^this run needs about 1\d\.\d+ GB of memory, but other programs leave 7\.41 GB of GPU 0, A card to TensorFlow \/ close them, or choose another card with CUDA_VISIBLE_DEVICES; /,
    )
  })

  it('needs no memory of the card for Node and the libraries, but for workspaces', () => {
    const of = (place: MachineResources['place']) =>
      engineCosts('tensorflow', 'bfloat16', { memory: { place, memory: 24e9 } }).baseBytes
    expect([of('this machine'), of('the graphics card')]).toEqual([700e6, 1e9])
  })
})
