import { expect, test } from 'vitest'
import { curveOf, lossBySigma, parseMetrics, smoothed, thinnedCurve } from '../../src/report/loss-curves.ts'

test('lines are parsed, except an incomplete one', () => {
  expect(parseMetrics('{"step":0,"fixed_loss":1}\n{"step":1,"loss":0.5}\n{"step":2,"lo')).toEqual([
    { step: 0, fixed_loss: 1 },
    { step: 1, loss: 0.5 },
  ])
})

test('a curve contains only the steps that have the value', () => {
  const steps = [{ step: 0 }, { step: 1, loss: 0.5 }, { step: 2, loss: Number.NaN }, { step: 3, loss: 0.25 }]
  expect(curveOf(steps, ({ loss }) => loss)).toEqual([
    [1, 0.5],
    [3, 0.25],
  ])
})

test('smoothing is an exponential average that starts at the first value', () => {
  const steady = smoothed(
    [1, 2, 3].map((step) => [step, 4] as const),
    0.1,
  )
  expect(steady.map(([, value]) => value)).toEqual([4, 4, 4].map((value) => expect.closeTo(value, 12)))
  const [, [, second] = []] = smoothed(
    [
      [1, 0],
      [2, 1],
    ],
    0.5,
  )
  expect(second).toBeCloseTo(2 / 3, 12)
})

test('each step is assigned to the band of its mean noise level', () => {
  const steps = [
    { step: 1, loss: 1, sigmas: [0.1] },
    { step: 2, loss: 2, sigmas: [1] },
    { step: 3, loss: 3, sigmas: [0.2, 0.6] },
    { step: 4, loss: 4 },
  ]
  expect(lossBySigma(steps)).toEqual([
    { name: 'noise 0–25 %', points: [[1, 1]] },
    { name: 'noise 25–50 %', points: [[3, 3]] },
    { name: 'noise 50–75 %', points: [] },
    { name: 'noise 75–100 %', points: [[2, 2]] },
  ])
})

test('a decimated curve keeps its last point and its mean', () => {
  const points = Array.from({ length: 1000 }, (_, i) => [i + 1, i % 2] as const)
  const thin = thinnedCurve(points, 100)
  expect([thin.length, thin.at(-1)]).toEqual([100, [1000, 0.5]])
  expect(thinnedCurve(points.slice(0, 5), 100)).toEqual(points.slice(0, 5))
})

test('lines of the metrics that are no steps are left out', () => {
  expect(parseMetrics('null\n5\n[]\n{"loss":1}\n{"step":1,"loss":0.5}\n')).toEqual([{ step: 1, loss: 0.5 }])
})
