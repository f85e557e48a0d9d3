/** The short version of `scripts/leak-test.ts`, and tests of its measurements. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { growthOf } from '../../scripts/reliability/growth.ts'
import { leakTest } from '../../scripts/reliability/leaks.ts'
import { memoryAfterGc } from '../../scripts/reliability/memory.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-test-'))
afterAll(() => rmSync(folder, { recursive: true }))

const samples = (value: (i: number) => number) =>
  Array.from({ length: 41 }, (_, i) => ({ step: 100 * i, value: value(i) }))

describe('a training run', () => {
  it('uses no more memory after 120 steps and three saved states than after 40 steps', async () => {
    const options = { folder, steps: 120, warmUp: 30, sampleEvery: 10, saveEvery: 40 }
    const { tensors, heapAndExternal, samples } = await leakTest({ ...options, backend: 'wasm' })
    expect(existsSync(join(folder, 'state.safetensors'))).toBe(true)
    expect(samples).toHaveLength(12)
    expect(tensors).toHaveLength(1)
    expect(heapAndExternal.ofMedians).toBeLessThan(0.05)
    expect(heapAndExternal.ofTrend).toBeLessThan(0.05)
  })
})

describe('memory', () => {
  it('of unreachable arrays and objects is not counted', async () => {
    const { heap, arrayBuffers } = await memoryAfterGc()
    let [objects, buffer]: [object[]?, Uint8Array?] = [
      Array.from({ length: 300_000 }, (_, i) => ({ i })),
      new Uint8Array(20 * 2 ** 20),
    ]
    const during = await memoryAfterGc()
    expect(during.arrayBuffers).toBeGreaterThan(arrayBuffers + 19)
    expect(during.heap).toBeGreaterThan(heap + 5)
    expect([objects?.length, buffer?.length]).toEqual([300_000, 20 * 2 ** 20])
    objects = buffer = undefined
    const after = await memoryAfterGc()
    expect(after.arrayBuffers).toBeLessThan(arrayBuffers + 1)
    expect(after.heap).toBeLessThan(heap + 2)
  })
})

describe('growth', () => {
  it('is detected even if it is small compared with the noise', () => {
    const { ofMedians, ofTrend } = growthOf(
      samples((i) => 200 + 0.25 * i + 5 * Math.sin(5 * i)),
      10,
    )
    expect(Math.abs(ofMedians - 0.04)).toBeLessThan(0.01)
    expect(Math.abs(ofTrend - 0.05)).toBeLessThan(0.01)
  })

  it('is not detected in a constant value with outliers', () => {
    const { ofMedians, ofTrend } = growthOf(
      samples((i) => (i > 35 && i % 2 === 0 ? 330 : 230)),
      10,
    )
    expect(ofMedians).toBe(0)
    expect(ofTrend).toBe(0)
  })

  it('appears in the trend even if the last samples are low', () => {
    const { ofMedians, ofTrend } = growthOf(
      samples((i) => (i < 31 ? 200 + i : 200)),
      10,
    )
    expect(ofMedians).toBeLessThan(0)
    expect(growthOf(samples((i) => 200 + i).slice(0, 31), 5).ofTrend).toBeCloseTo(0.15, 6)
    expect(ofTrend).toBeGreaterThan(0)
  })
})
