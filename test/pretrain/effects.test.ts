import { describe, expect, it } from 'vitest'
import { deviceCount, deviceEffect, sampleEffect } from '../../scripts/pretrain/effects.ts'
import { randomFor } from '../../src/platform/random.ts'

const noise = Float64Array.from({ length: 8000 }, (_, i) => 0.3 * randomFor(1, 'sample', i).normal())
const loudness = (sound: Float64Array) => Math.sqrt(sound.reduce((sum, x) => sum + x * x, 0) / sound.length)

describe('a synthetic device', () => {
  it('is deterministic', () => {
    const [once, again] = [deviceEffect(5), deviceEffect(5)]
    expect(again.caption).toBe(once.caption)
    expect(again.apply(noise, randomFor(2))).toEqual(once.apply(noise, randomFor(2)))
  })

  it('has a unique name', () => {
    const names = Array.from({ length: deviceCount }, (_, i) => deviceEffect(i).caption)
    expect(new Set(names).size).toBe(deviceCount)
  })
})

it('no effect makes a clip silent, too loud or not finite', () => {
  for (let i = 0; i < 60; i++) {
    const change = sampleEffect(randomFor(3, 'change', i))
    const changed = loudness(change.apply(noise, randomFor(3, 'apply', i)))
    expect(changed, change.caption).toBeGreaterThan(0.003)
    expect(changed, change.caption).toBeLessThan(10)
  }
})
