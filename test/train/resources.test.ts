import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import type { Terminal } from '../../src/cli/terminal/terminal.ts'
import { audioModules } from '../../src/config/parameters.ts'
import { startBackend } from '../../src/engine/backend.ts'
import { openBaseModel } from '../../src/model/base-model.ts'
import { type Demand, engineOf, requirementsOf } from '../../src/train/requirements.ts'
import { misfit, readVideoMemory, requirementLines, type Supply, tellFit } from '../../src/train/resources.ts'

const base = openBaseModel()
const wasm = engineOf('wasm', 'float32')
const demand: Demand = {
  rank: 32,
  audioDurationSeconds: 5,
  targetModules: audioModules,
  numberOfSteps: 2000,
  checkpointInterval: 250,
  previewInterval: 250,
  clips: 20,
  texts: 12,
  unknownTexts: 0,
  previews: 2,
}
const plenty: Supply = { place: 'this machine', memory: 64e9, freeMemory: 64e9, runDisk: 1e12, cacheDisk: 1e12 }

describe('what a run takes is told', () => {
  it('in two lines', () => {
    expect(requirementLines(requirementsOf(base, demand, wasm), plenty)).toEqual([
      expect.stringMatching(
        /^Memory: about \d+ MB of 64\.00 GB \(weights [\d.]+ MB, LoRA and optimizer [\d.]+ MB, a step \d+ MB\)$/,
      ),
      expect.stringMatching(/^Disk: about \d+ MB for the run, [\d.]+ MB for the cache, of 1000\.00 GB$/),
    ])
  })

  it('with the captions where they are still to be encoded, and as graphics memory where a card computes', () => {
    const needed = requirementsOf(base, { ...demand, unknownTexts: 3 }, wasm)
    const [memory] = requirementLines(needed, { ...plenty, place: 'the graphics card' })
    expect(memory).toMatch(/^Graphics memory: about .* \(encoding captions [\d.]+ MB, then weights [\d.]+ MB,/)
  })
})

describe('a run that cannot fit', () => {
  const refusal = (supply: Partial<Supply>, of: Demand = demand, engine = wasm) => {
    const error = misfit(base, of, engine, { ...plenty, ...supply })
    if (error) return `${error.message} / ${error.hint}`
    return 'it fits'
  }

  it('is told shorter clips or a smaller rank that would', () => {
    expect(refusal({})).toBe('it fits')
    expect(refusal({ memory: 450e6 })).toMatch(
      /^this run needs about \d+ MB of memory, but this machine has 450 MB at most \/ it would fit with --audio-duration-seconds [\d.]+ \(\d+ MB\); --ignore-requirements tries it all the same$/,
    )
    const { memory } = requirementsOf(base, { ...demand, rank: 16 }, wasm)
    expect(refusal({ memory })).toMatch(/it would fit with --rank 16 /)
  })

  it('is told so where nothing would', () => {
    expect(refusal({ memory: 1e6 })).toMatch(/no settings make it fit: this base needs|set up native TensorFlow/)
    expect(refusal({ memory: 1e6 }, demand, engineOf('cpu', 'float32'))).toMatch(
      /no settings make it fit: this base needs a machine with more memory;/,
    )
  })

  it('is told to compute blocks again, where that is what makes it fit', () => {
    const native = { ...engineOf('tensorflow', 'bfloat16'), recomputes: () => false }
    const long = { ...demand, audioDurationSeconds: 60 }
    const { memory } = requirementsOf(base, long, { ...native, recomputes: () => true })
    expect(refusal({ memory }, long, native)).toMatch(/it would fit with --recompute on \(/)
  })

  it('is told where it would not fit', () => {
    expect(refusal({ memory: 450e6, place: 'the wasm backend' })).toMatch(/but the wasm backend has 450 MB at most/)
    expect(refusal({ memory: 450e6, place: 'the graphics card' })).toMatch(/but the graphics card has 450 MB at most/)
  })

  it('starts all the same when that is to be ignored, with a warning', async () => {
    await startBackend('wasm')
    const said: string[] = []
    const terminal = { note: () => {}, warn: (text: string) => said.push(text) } as unknown as Terminal
    const tooMuch = { ...demand, rank: 100_000 }
    await expect(tellFit(base, { ...tooMuch, ignoreRequirements: false }, '.', terminal)).rejects.toThrow(
      /this run needs/,
    )
    expect(said).toEqual([])
    await tellFit(base, { ...tooMuch, ignoreRequirements: true }, '.', terminal)
    expect(said).toEqual([expect.stringMatching(/^this run needs .*; tried all the same$/)])
  })

  it('is refused for want of disk, too', () => {
    expect(refusal({ runDisk: 1000 })).toMatch(
      /^this run needs \d+ MB of disk, but 0\.0 MB are free \/ choose another disk/,
    )
    expect(refusal({ cacheDisk: 1000 })).toMatch(/of disk/)
  })
})

describe('the memory of a graphics card', () => {
  const { PATH } = process.env
  const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-test-'))
  afterEach(() => {
    process.env.PATH = PATH
    rmSync(folder, { recursive: true, force: true })
  })

  it('is what its driver tells, and nothing without one', async () => {
    process.env.PATH = folder
    expect(await readVideoMemory()).toBeUndefined()
    writeFileSync(join(folder, 'nvidia-smi'), '#!/bin/sh\necho "143771, 143152"\necho "1024, 12"\n')
    chmodSync(join(folder, 'nvidia-smi'), 0o755)
    expect(await readVideoMemory()).toEqual({ totalBytes: 143_771 * 2 ** 20, freeBytes: 143_152 * 2 ** 20 })
  })
})
