import { beforeAll, describe, expect, it } from 'vitest'
import { positionTables, truncatePositions } from '../../../src/model/text/gemma-attention.ts'
import type { GemmaAttentionConfig } from '../../../src/model/text/gemma-config.ts'
import { startGoldenBackend } from '../../golden/golden.ts'

const attention = { headDim: 4, keyValueHeads: 1, sharesKeyAndValue: false }
const sliding: GemmaAttentionConfig = { ...attention, window: 2, rope: { theta: 100, factor: 1, rotatedPairs: 2 } }
const full: GemmaAttentionConfig = {
  ...attention,
  window: Number.POSITIVE_INFINITY,
  rope: { theta: 100, factor: 8, rotatedPairs: 2 },
}

const no = Number.NEGATIVE_INFINITY

beforeAll(startGoldenBackend)

describe('the position tables of a caption', () => {
  it('have a causal mask for full attention', () => {
    expect(positionTables(full, 3).mask.arraySync()).toEqual([
      [0, no, no],
      [0, 0, no],
      [0, 0, 0],
    ])
  })

  it('have a causal mask limited to the window for sliding attention', () => {
    expect(positionTables(sliding, 4).mask.arraySync()).toEqual([
      [0, no, no, no],
      [0, 0, no, no],
      [no, 0, 0, no],
      [no, no, 0, 0],
    ])
  })

  it('have the RoPE angles position · theta^(−2j/d) / factor', () => {
    const [, first, second] = [0, 1, 2].map((position) => [
      Math.fround(Math.cos(position / 8)),
      Math.fround(Math.cos(position / 80)),
    ])
    const cos = positionTables(full, 3).rope.cos.arraySync()
    expect(cos).toEqual([[[[1, 1], first, second]]])
  })

  it('leave the pairs after the rotated ones as they are', () => {
    const { cos, sin } = positionTables({ ...full, rope: { theta: 100, factor: 1, rotatedPairs: 1 } }, 2).rope
    expect(cos.arraySync()).toEqual([
      [
        [
          [1, 1],
          [Math.fround(Math.cos(1)), 1],
        ],
      ],
    ])
    expect(sin.arraySync()).toEqual([
      [
        [
          [0, 0],
          [Math.fround(Math.sin(1)), 0],
        ],
      ],
    ])
  })

  it('of a shorter caption equal the truncated tables of a longer one', () => {
    const short = positionTables(sliding, 3)
    const cut = truncatePositions(positionTables(sliding, 7), 3)
    expect(cut.mask.arraySync()).toEqual(short.mask.arraySync())
    expect(cut.rope.sin.arraySync()).toEqual(short.rope.sin.arraySync())
  })
})
