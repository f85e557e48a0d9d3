import { expect, test } from 'vitest'
import { fitLagLine, lagAt } from '../../../src/audio/analysis/lag-line.ts'

const points = (lag: (seconds: number) => number) =>
  [0, 5, 10, 15, 20, 25, 30].map((seconds) => ({ seconds, lag: lag(seconds) }))

test('a drift is found, whatever two of seven measurements say', () => {
  const line = fitLagLine(
    points((seconds) => (seconds === 5 || seconds === 20 ? 0.7 : 0.02 + 1e-4 * seconds)),
    0.001,
  )
  expect(line?.lag).toBeCloseTo(0.02, 6)
  expect(line?.drift).toBeCloseTo(1e-4, 8)
  expect(lagAt({ lag: 0.02, drift: 1e-4 }, 30)).toBeCloseTo(0.023, 9)
})

test('a lag that jumps is no line, and neither are two measurements', () => {
  expect(
    fitLagLine(
      points((seconds) => (seconds < 15 ? 0 : 0.3)),
      0.001,
    ),
  ).toBeUndefined()
  expect(fitLagLine(points(() => 0).slice(0, 2), 0.001)).toBeUndefined()
})
