import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { TensorInfo } from '../../src/formats/safetensors-header.ts'
import { partsOf } from '../../src/net/partial-file.ts'
import { planRanges, type RangeLimits } from '../../src/net/ranges.ts'

const tensor = (start: number, end: number): TensorInfo => ({ dtype: 'U8', shape: [end - start], start, end })

const limits: RangeLimits = { maxBytes: 100, maxWaste: 0.1, maxGap: 20 }

describe('the planned ranges', () => {
  it('of adjacent tensors are merged', () => {
    expect(planRanges([tensor(30, 40), tensor(10, 20), tensor(20, 30)], 8, limits)).toEqual([
      { start: 10, end: 40, pieces: [{ start: 10, end: 40, at: 8 }] },
    ])
  })

  it('include the smallest gaps up to the waste limit', () => {
    expect(planRanges([tensor(0, 40), tensor(42, 60), tensor(66, 80)], 0, limits)).toEqual([
      {
        start: 0,
        end: 60,
        pieces: [
          { start: 0, end: 40, at: 0 },
          { start: 42, end: 60, at: 40 },
        ],
      },
      { start: 66, end: 80, pieces: [{ start: 66, end: 80, at: 58 }] },
    ])
  })

  it('never include a gap longer than maxGap', () => {
    expect(planRanges([tensor(0, 1000), tensor(1021, 2000)], 0, { ...limits, maxBytes: 5000 })).toHaveLength(2)
  })

  it('are split at maxBytes', () => {
    const ranges = planRanges([tensor(0, 250)], 0, limits)
    expect(ranges.map(({ start, end }) => [start, end])).toEqual([
      [0, 100],
      [100, 200],
      [200, 250],
    ])
  })

  it('cover every selected byte exactly once for any tensors and limits', () => {
    const sizes = fc.array(fc.record({ gap: fc.nat(30), size: fc.nat(300), selected: fc.boolean() }), { maxLength: 30 })
    const anyLimits = fc.record({
      maxBytes: fc.integer({ min: 1, max: 200 }),
      maxWaste: fc.constantFrom(0, 0.05, 0.5),
      maxGap: fc.nat(40),
    })
    fc.assert(
      fc.property(sizes, anyLimits, (sizes, limits) => {
        let at = 5
        const tensors = sizes.map(({ gap, size, selected }) => {
          const start = at + gap
          at = start + size
          return { ...tensor(start, at), selected }
        })
        const source = Uint8Array.from({ length: at }, (_, i) => (i * 7) % 251)
        const selected = tensors.filter((one) => one.selected)
        const result = Buffer.concat(selected.map(({ start, end }) => source.subarray(start, end)))
        const assembled = Buffer.alloc(result.length)
        let requested = 0
        for (const { start, end, pieces } of planRanges(selected, 0, limits)) {
          requested += end - start
          expect(end - start).toBeLessThanOrEqual(limits.maxBytes)
          for (let position = start; position < end; position += 13)
            for (const [bytes, to] of partsOf(
              pieces,
              source.subarray(position, Math.min(position + 13, end)),
              position,
            ))
              assembled.set(bytes, to)
        }
        expect(assembled).toEqual(result)
        expect(requested).toBeLessThanOrEqual(result.length * (1 + limits.maxWaste))
      }),
    )
  })
})
