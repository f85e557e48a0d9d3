import { describe, expect, it } from 'vitest'
import { type Progress, progressText } from '../../src/platform/progress-text.ts'
import { durationText } from '../../src/platform/text.ts'

const progress = (part: Partial<Progress>): Progress => ({
  position: 412,
  total: 2000,
  unit: 'steps',
  startPosition: 0,
  seconds: 500,
  values: {},
  ...part,
})

describe('the progress text', () => {
  it('shows the position, speed, time left and values', () => {
    expect(progressText(progress({ values: { loss: '0.4312', 's/step': 1.2 } }))).toBe(
      '412/2000 steps · 0.82 steps/s · 32 min 7 s left · loss 0.4312 · s/step 1.2',
    )
  })

  it('computes the speed of a resumed run from its starting step', () => {
    expect(progressText(progress({ position: 1010, startPosition: 1000, seconds: 10 }))).toBe(
      '1010/2000 steps · 1.0 steps/s · 16 min 30 s left',
    )
  })

  it('omits the speed while it is unknown', () => {
    expect(progressText(progress({ position: 1, startPosition: 1, seconds: 0 }))).toBe('1/2000 steps')
    expect(progressText(progress({ position: 0, seconds: 3 }))).toBe('0/2000 steps')
    expect(progressText(progress({ position: 5, seconds: 0 }))).toBe('5/2000 steps')
  })

  it('omits the time left at the end, and the total when it is unknown', () => {
    expect(progressText(progress({ position: 2000 }))).toBe('2000/2000 steps · 4.0 steps/s')
    expect(progressText(progress({ total: 0, position: 1000, seconds: 2 }))).toBe('1000 steps · 500 steps/s')
  })

  it('shows a speed of 99.6 MB/s without an exponent', () =>
    expect(progressText(progress({ total: 0, position: 996, seconds: 10, unit: 'MB' }))).toBe('996 MB · 100 MB/s'))

  it('rounds the position down', () =>
    expect(progressText(progress({ position: 3.7, seconds: 0 }))).toBe('3/2000 steps'))
})

it('a duration is shown in its two largest units', () => {
  expect([0, 59.4, 59.6, 61, 3599.6, 3600, 100_000].map(durationText)).toEqual([
    '0 s',
    '59 s',
    '1 min 0 s',
    '1 min 1 s',
    '1 h 0 min',
    '1 h 0 min',
    '27 h 46 min',
  ])
})
