import { describe, expect, it } from 'vitest'
import { normals, randomFor, shuffled, uniforms } from '../../src/platform/random.ts'

const draw = (seed: number, ...purpose: (string | number)[]) => [...uniforms(randomFor(seed, ...purpose), 4, 0, 1)]

describe('a random source', () => {
  it('returns the same numbers for the same seed and purpose', () => {
    expect(draw(42, 'noise', 7)).toEqual(draw(42, 'noise', 7))
  })

  it('returns these numbers on every machine', () => {
    const random = randomFor(42, 'noise', 0)
    expect([random.uniform(), random.uniform(), random.normal()]).toMatchInlineSnapshot(`
      [
        0.5643368289989203,
        0.0020569606444390542,
        0.36074105252678107,
      ]
    `)
  })

  it('returns different numbers for another seed, purpose or step', () => {
    const draws = [
      draw(42, 'noise', 7),
      draw(43, 'noise', 7),
      draw(42, 'sigma', 7),
      draw(42, 'noise', 8),
      draw(42, 'noise'),
    ]
    expect(new Set(draws.map(String)).size).toBe(draws.length)
  })

  it('distinguishes purposes that are equal when concatenated', () => {
    expect(draw(1, 'a', 'b')).not.toEqual(draw(1, 'ab'))
    expect(draw(1, 'a', 1)).not.toEqual(draw(1, 'a', '1'))
  })
})

describe('uniform numbers', () => {
  it('are within their bounds and evenly distributed', () => {
    const values = uniforms(randomFor(1), 100_000, -3, 5)
    expect(values.every((value) => value >= -3 && value <= 5)).toBe(true)
    const eighths = Array.from({ length: 8 }, (_, i) => values.filter((value) => Math.floor(value + 3) === i).length)
    for (const count of eighths) expect(Math.abs(count - 12_500)).toBeLessThan(500)
  })

  it('are always less than 1', () => {
    const random = randomFor(3)
    let largest = 0
    for (let i = 0; i < 100_000; i++) largest = Math.max(largest, random.uniform())
    expect(largest).toBeGreaterThan(0.9999)
    expect(largest).toBeLessThan(1)
  })
})

describe('normal numbers', () => {
  const values = normals(randomFor(7), 200_000)
  const mean = (power: number) => values.reduce((sum, value) => sum + value ** power, 0) / values.length

  it('have the moments of the standard normal distribution', () => {
    expect(Math.abs(mean(1))).toBeLessThan(0.01)
    expect(Math.abs(mean(2) - 1)).toBeLessThan(0.015)
    expect(Math.abs(mean(3))).toBeLessThan(0.04)
    expect(Math.abs(mean(4) - 3)).toBeLessThan(0.1)
  })

  it('are not correlated with the next number', () => {
    let product = 0
    for (let i = 1; i < values.length; i++) product += (values[i] as number) * (values[i - 1] as number)
    expect(Math.abs(product / values.length)).toBeLessThan(0.01)
  })
})

describe('a random order', () => {
  it('contains every number once', () => {
    expect(shuffled(randomFor(1), 100).sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i))
    expect(shuffled(randomFor(1), 0)).toEqual([])
    expect(shuffled(randomFor(1), 1)).toEqual([0])
  })

  it('has every permutation with equal probability', () => {
    const counts = new Map<string, number>()
    for (let i = 0; i < 6000; i++) {
      const order = shuffled(randomFor(5, i), 3).join('')
      counts.set(order, (counts.get(order) ?? 0) + 1)
    }
    expect(counts.size).toBe(6)
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(150)
  })
})
