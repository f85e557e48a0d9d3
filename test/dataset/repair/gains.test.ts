import { expect, test } from 'vitest'
import { fromDbfs } from '../../../src/audio/waveform.ts'
import { levelGains, type PairLevel } from '../../../src/dataset/repair/gains.ts'

const levels = (...given: [loudness: number | null, peakDbfs: number][]): PairLevel[] =>
  given.map(([loudness, peak]) => ({ loudness, peak: fromDbfs(peak), quieterRms: fromDbfs(-20) }))

const gainsOf = (given: PairLevel[]) => levelGains(given).map(({ gainDb }) => gainDb)
const rounded = (gains: number[]) => gains.map((gain) => Math.round(gain * 1000) / 1000 + 0)

test('pairs further than 3 LU from the median are brought to it', () => {
  expect(rounded(gainsOf(levels([-20, -6], [-32.5, -20], [-19, -6], [-21.5, -9], [-12, -1])))).toEqual([
    0, 12.5, 0, 0, -8,
  ])
})

test('a gain raises no peak above −1 dBFS', () => {
  expect(rounded(gainsOf(levels([-20, -6], [-30, -5], [-20, -6], [-30, -0.5])))).toEqual([0, 4, 0, 0])
})

test('a gain lowers no side below −40 dBFS', () => {
  const [loud] = levels([0, -1])
  const given = [...levels([-30, -6], [-30, -6]), { ...(loud as PairLevel), quieterRms: fromDbfs(-32) }]
  expect(rounded(gainsOf(given))).toEqual([0, 0, -8])
  expect(rounded(gainsOf([...given.slice(0, 2), { ...(loud as PairLevel), quieterRms: fromDbfs(-50) }]))).toEqual([
    0, 0, 0,
  ])
})

test('silence has no gain', () => {
  expect(gainsOf(levels([null, -90], [-20, -6]))).toEqual([0, 0])
  expect(gainsOf(levels([null, -90]))).toEqual([0])
})

test('a second time changes nothing', () => {
  const before = levels([-20, -6], [-32, -20], [-40, -10], [-19, -6], [-5, 0], [-21, -9])
  const gains = gainsOf(before)
  const after = before.map(({ loudness, peak, quieterRms }, i) => ({
    loudness: (loudness as number) + (gains[i] as number),
    peak: peak * fromDbfs(gains[i] as number),
    quieterRms: quieterRms * fromDbfs(gains[i] as number),
  }))
  expect(gains.some((gain) => gain !== 0)).toBe(true)
  expect(gainsOf(after)).toEqual(before.map(() => 0))
})

test('what the peak does not allow is said', () => {
  const missing = levelGains(levels([-20, -6], [-30, -5], [-20, -6], [-30, -0.5])).map(({ missingDb }) => missingDb)
  expect(rounded(missing)).toEqual([0, 6, 0, 10])
})
