import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { mapConcurrently } from '../../src/platform/concurrency.ts'

describe('mapConcurrently', () => {
  it('returns the results in order', async () => {
    const results = await mapConcurrently([30, 10, 20], 3, async (milliseconds) => {
      await sleep(milliseconds)
      return milliseconds / 10
    })
    expect(results).toEqual([3, 1, 2])
  })

  it('never exceeds the concurrency', async () => {
    let [running, maximum] = [0, 0]
    await mapConcurrently([1, 2, 3, 4, 5], 2, async () => {
      maximum = Math.max(maximum, ++running)
      await sleep(2)
      running--
    })
    expect(maximum).toBe(2)
  })

  it('rejects with the first error after the running items end, without starting others', async () => {
    const [started, ended]: number[][] = [[], []]
    const mapped = mapConcurrently([0, 1, 2, 3], 2, async (i) => {
      started?.push(i)
      await sleep(i === 0 ? 1 : 20)
      ended?.push(i)
      throw new Error(`item ${i}`)
    })
    await expect(mapped).rejects.toThrow('item 0')
    expect(ended).toEqual([0, 1])
    expect(started).toEqual([0, 1])
  })
})
