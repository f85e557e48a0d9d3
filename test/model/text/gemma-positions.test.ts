import { beforeAll, describe, expect, it } from 'vitest'
import { positionTables, truncatePositions } from '../../../src/model/text/gemma.ts'
import type { GemmaConfig } from '../../../src/model/text/gemma-folder.ts'
import { startGoldenBackend } from '../../golden/golden.ts'

const config = {
  headDim: 4,
  slidingWindow: 2,
  rope: { sliding_attention: { theta: 100, factor: 1 }, full_attention: { theta: 100, factor: 8 } },
} as GemmaConfig

const no = Number.NEGATIVE_INFINITY

beforeAll(startGoldenBackend)

describe('the position tables of a caption', () => {
  it('have a causal mask for full attention', () => {
    expect(positionTables(config, 'full_attention', 3).mask.arraySync()).toEqual([
      [0, no, no],
      [0, 0, no],
      [0, 0, 0],
    ])
  })

  it('have a causal mask limited to the window for sliding attention', () => {
    expect(positionTables(config, 'sliding_attention', 4).mask.arraySync()).toEqual([
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
    const cos = positionTables(config, 'full_attention', 3).rope.cos.arraySync()
    expect(cos).toEqual([[[[1, 1], first, second]]])
  })

  it('of a shorter caption equal the truncated tables of a longer one', () => {
    const short = positionTables(config, 'sliding_attention', 3)
    const cut = truncatePositions(positionTables(config, 'sliding_attention', 7), 3)
    expect(cut.mask.arraySync()).toEqual(short.mask.arraySync())
    expect(cut.rope.sin.arraySync()).toEqual(short.rope.sin.arraySync())
  })
})
