import { totalmem } from 'node:os'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { savedActivationBytes, shouldCheckpoint } from '../../src/model/transformer/checkpointing.ts'

afterEach(() => void vi.restoreAllMocks())

describe('activation checkpointing', () => {
  it('can be turned on and off for any size', () => {
    expect([0, 1e15].map((bytes) => shouldCheckpoint('on', bytes))).toEqual([true, true])
    expect([0, 1e15].map((bytes) => shouldCheckpoint('off', bytes))).toEqual([false, false])
  })

  it('is used automatically when activations need more than 35 % of the memory limit of the process', () => {
    vi.spyOn(process, 'constrainedMemory').mockReturnValue(1000)
    expect([0, 350, 351].map((bytes) => shouldCheckpoint('auto', bytes))).toEqual([false, false, true])
  })

  it('uses the memory of the machine when the process has no limit', () => {
    for (const unlimited of [0, 2 ** 63]) {
      vi.spyOn(process, 'constrainedMemory').mockReturnValue(unlimited)
      expect([0.3, 0.4].map((share) => shouldCheckpoint('auto', share * totalmem(), 'tensorflow'))).toEqual([
        false,
        true,
      ])
    }
  })

  it('uses at most the 4 GB that WebAssembly can address', () => {
    vi.spyOn(process, 'constrainedMemory').mockReturnValue(64e9)
    expect([1.4e9, 1.6e9].map((bytes) => shouldCheckpoint('auto', bytes, 'wasm'))).toEqual([false, true])
    expect(shouldCheckpoint('auto', 1.6e9, 'tensorflow')).toBe(1.6e9 > 0.35 * Math.min(64e9, totalmem()))
  })

  it('estimates the float32 activations of eleven residual matrices, the feed-forward, text keys and values, and attention weights', () => {
    const [heads, width, inner, tokens, textTokens] = [2, 8, 32, 5, 3]
    const elements =
      11 * tokens * width + tokens * inner + 2 * textTokens * width + heads * tokens * (tokens + textTokens)
    const size = { heads, width, inner }
    const lengths = { tokens, textTokens, savesProbabilities: true }
    expect(savedActivationBytes(size, lengths)).toBe(4 * elements)
    const probabilities = heads * tokens * (tokens + textTokens)
    const without = savedActivationBytes(size, { ...lengths, savesProbabilities: false })
    expect(without).toBe(4 * (elements - probabilities))
  })
})
