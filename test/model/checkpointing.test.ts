import { afterEach, describe, expect, it, vi } from 'vitest'
import { savedActivationBytes, shouldCheckpoint } from '../../src/model/transformer/checkpointing.ts'

afterEach(() => void vi.restoreAllMocks())

describe('activation checkpointing', () => {
  it('can be turned on and off for any size', () => {
    expect([0, 1e15].map((bytes) => shouldCheckpoint('on', bytes))).toEqual([true, true])
    expect([0, 1e15].map((bytes) => shouldCheckpoint('off', bytes))).toEqual([false, false])
  })

  it('is used automatically when activations need more than 35 % of the memory of the backend', () => {
    expect([0, 350, 351].map((bytes) => shouldCheckpoint('auto', bytes, 1000))).toEqual([false, false, true])
    vi.spyOn(process, 'constrainedMemory').mockReturnValue(1000)
    expect([0, 350, 351].map((bytes) => shouldCheckpoint('auto', bytes))).toEqual([false, false, true])
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
