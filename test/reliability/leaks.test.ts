/** The short version of `scripts/leak-test.ts`, and what its figures mean. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { growthOf } from '../../scripts/reliability/growth.ts'
import { watchLeaks } from '../../scripts/reliability/leaks.ts'
import { settledMemory } from '../../scripts/reliability/memory.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-test-'))
afterAll(() => rmSync(folder, { recursive: true }))

const samples = (value: (i: number) => number) =>
  Array.from({ length: 41 }, (_, i) => ({ step: 100 * i, value: value(i) }))

describe('a training', () => {
  it('holds after 120 steps and three saved states what it held after 40', async () => {
    const options = { folder, steps: 120, warmUp: 30, sampleEvery: 10, saveEvery: 40 }
    const { tensors, held, samples } = await watchLeaks({ ...options, backend: 'wasm' })
    expect(existsSync(join(folder, 'state.safetensors'))).toBe(true)
    expect(samples).toHaveLength(12)
    expect(tensors).toHaveLength(1)
    expect(held.ofMedians).toBeLessThan(0.05)
    expect(held.ofTrend).toBeLessThan(0.05)
  })
})

describe('memory', () => {
  it('that nothing holds any more is not counted, arrays and scattered objects alike', async () => {
    const { heap, arrays } = await settledMemory()
    let [objects, buffer]: [object[]?, Uint8Array?] = [
      Array.from({ length: 300_000 }, (_, i) => ({ i })),
      new Uint8Array(20 * 2 ** 20),
    ]
    const during = await settledMemory()
    expect(during.arrays).toBeGreaterThan(arrays + 19)
    expect(during.heap).toBeGreaterThan(heap + 5)
    expect([objects?.length, buffer?.length]).toEqual([300_000, 20 * 2 ** 20])
    objects = buffer = undefined
    const after = await settledMemory()
    expect(after.arrays).toBeLessThan(arrays + 1)
    expect(after.heap).toBeLessThan(heap + 2)
  })
})

describe('growth', () => {
  it('is found where it is small against the noise', () => {
    const { ofMedians, ofTrend } = growthOf(
      samples((i) => 200 + 0.25 * i + 5 * Math.sin(5 * i)),
      10,
    )
    expect(Math.abs(ofMedians - 0.04)).toBeLessThan(0.01)
    expect(Math.abs(ofTrend - 0.05)).toBeLessThan(0.01)
  })

  it('is not made up from single samples that lie far off', () => {
    const { ofMedians, ofTrend } = growthOf(
      samples((i) => (i > 35 && i % 2 === 0 ? 330 : 230)),
      10,
    )
    expect(ofMedians).toBe(0)
    expect(ofTrend).toBe(0)
  })

  it('shows as a trend where the last samples happen to be low again', () => {
    const { ofMedians, ofTrend } = growthOf(
      samples((i) => (i < 31 ? 200 + i : 200)),
      10,
    )
    expect(ofMedians).toBeLessThan(0)
    expect(growthOf(samples((i) => 200 + i).slice(0, 31), 5).ofTrend).toBeCloseTo(0.15, 6)
    expect(ofTrend).toBeGreaterThan(0)
  })
})
