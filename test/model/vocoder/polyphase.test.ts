import { describe, expect, it } from 'vitest'
import { polyphase } from '../../../src/model/vocoder/resampling.ts'

/** A direct transposed convolution: adds a scaled copy of the kernel for each input sample. */
function transposed(x: number[], kernel: number[], rate: number, padding: number): number[] {
  const full = new Array<number>((x.length - 1) * rate + kernel.length + rate).fill(0)
  x.forEach((sample, i) => {
    kernel.forEach((tap, k) => {
      full[i * rate + k] = (full[i * rate + k] as number) + sample * tap
    })
  })
  return full.slice(padding, padding + rate * x.length)
}

function byPhases(x: number[], kernel: number[], rate: number, padding: number): number[] {
  const { before, after, taps } = polyphase({ taps: kernel.length, rate, padding })
  return x.flatMap((_, n) =>
    Array.from({ length: rate }, (_, phase) => {
      let sum = 0
      for (let d = -before; d <= after; d++)
        sum += (x[n + d] ?? 0) * (kernel[taps[(d + before) * rate + phase] as number] ?? 0)
      return sum
    }),
  )
}

describe('polyphase', () => {
  it('splits a kernel of four taps at rate 2 into its phases', () => {
    expect(polyphase({ taps: 4, rate: 2, padding: 1 })).toEqual({ before: 1, after: 1, taps: [3, 4, 1, 2, 4, 0] })
  })

  it.each([
    { taps: 4, rate: 2, padding: 1 },
    { taps: 11, rate: 5, padding: 3 },
    { taps: 12, rate: 6, padding: 3 },
    { taps: 12, rate: 2, padding: 5 },
    { taps: 43, rate: 3, padding: 21 },
    { taps: 3, rate: 3, padding: 0 },
  ])(
    'equals the transposed convolution with $taps taps, rate $rate and padding $padding',
    ({ taps, rate, padding }) => {
      const kernel = Array.from({ length: taps }, (_, k) => k + 1)
      const x = [2, -1, 3, 5, -4, 1, 7]
      expect(byPhases(x, kernel, rate, padding)).toEqual(transposed(x, kernel, rate, padding))
    },
  )
})
