import { describe, expect, test } from 'vitest'
import { silentRms } from '../../../src/audio/analysis/measurement.ts'
import { alignSides } from '../../../src/dataset/repair/side-change.ts'
import { type CutPair, clipsWithSound, silenceToTrim, trimSides } from '../../../src/dataset/repair/silence-trim.ts'

const sampleRate = 44_100

/** Sides as lists of lengths in seconds and levels. */
type Parts = readonly (readonly [seconds: number, level: number])[]

function pairOf(reference: Parts, target: Parts, lag = 0): CutPair {
  const side = (parts: Parts) => {
    const loudest = Float32Array.from(
      parts.flatMap(([seconds, level]) => Array<number>(Math.round(10 * seconds)).fill(level)),
    )
    const audible = Uint8Array.from(loudest, (level) => (level >= silentRms ? 5 : 0))
    return { levels: { loudest, audible }, seconds: loudest.length / 10, sampleRate }
  }
  const sides = { reference: side(reference), target: side(target) }
  const asItIs = { start: 0, step: 1, gainDb: 0 }
  const cuts = lag
    ? alignSides(sides.reference, sides.target, { lag, drift: 0 })
    : { reference: asItIs, target: asItIs }
  return {
    reference: { ...sides.reference, change: cuts.reference },
    target: { ...sides.target, change: cuts.target },
  }
}

const trim = (pair: CutPair, { gainDb = 0, clip = 5 } = {}) => silenceToTrim(pair, { gainDb, clip })

describe('silence that both sides have at an end is trimmed', () => {
  test.each<[string, Parts, Parts, object]>([
    [
      'at the beginning',
      [
        [6, 0],
        [9, 0.1],
      ],
      [
        [6, 0],
        [9, 0.1],
      ],
      { start: 5.9, end: 0 },
    ],
    [
      'at the end',
      [
        [9, 0.1],
        [6, 0],
      ],
      [
        [9, 0.1],
        [6, 0],
      ],
      { start: 0, end: 5.9 },
    ],
    [
      'as far as both have it',
      [
        [6, 0],
        [9, 0.1],
      ],
      [
        [2, 0],
        [13, 0.1],
      ],
      { start: 1.9, end: 0 },
    ],
    [
      'not on one side only',
      [
        [6, 0],
        [9, 0.1],
      ],
      [[15, 0.1]],
      { start: 0, end: 0 },
    ],
    [
      'not in the middle',
      [
        [4, 0.1],
        [6, 0],
        [4, 0.1],
      ],
      [
        [4, 0.1],
        [6, 0],
        [4, 0.1],
      ],
      { start: 0, end: 0 },
    ],
    [
      'not below half a second',
      [
        [0.4, 0],
        [9, 0.1],
      ],
      [
        [0.4, 0],
        [9, 0.1],
      ],
      { start: 0, end: 0 },
    ],
    [
      'not below the length of a clip',
      [
        [2, 0],
        [4, 0.1],
      ],
      [
        [2, 0],
        [4, 0.1],
      ],
      { start: 1, end: 0 },
    ],
    [
      'not of a pair that is shorter than a clip',
      [
        [2, 0],
        [2, 0.1],
      ],
      [
        [2, 0],
        [2, 0.1],
      ],
      { start: 0, end: 0 },
    ],
    ['not where there is no sound', [[9, 0]], [[9, 0]], { start: 0, end: 0 }],
  ])('%s', (_, reference, target, expected) => expect(trim(pairOf(reference, target))).toEqual(expected))

  test('at the level after the gain', () => {
    const pair = pairOf(
      [
        [3, 0.002],
        [9, 0.1],
      ],
      [
        [3, 0.002],
        [9, 0.1],
      ],
    )
    expect(trim(pair)).toEqual({ start: 0, end: 0 })
    expect(trim(pair, { gainDb: -8 })).toEqual({ start: 2.9, end: 0 })
  })

  test('after the lag is removed, by the same amount on both sides', () => {
    const pair = pairOf(
      [
        [2, 0],
        [9, 0.1],
      ],
      [
        [3, 0],
        [9, 0.1],
      ],
      1,
    )
    const { reference, target } = trimSides(pair, trim(pair))
    expect([reference.start, target.start]).toEqual([1.9 * sampleRate, 2.9 * sampleRate])
    expect(reference.frames).toBe(target.frames)
  })
})

test('a clip has sound where both sides have some of it', () => {
  const count = (reference: Parts, target: Parts) => clipsWithSound(pairOf(reference, target), 5).withSound
  expect(count([[15, 0.1]], [[15, 0.1]])).toBe(3)
  expect(
    count(
      [[15, 0.1]],
      [
        [6, 0],
        [9, 0.1],
      ],
    ),
  ).toBe(2)
  expect(
    count(
      [
        [5, 0.1],
        [5, 0],
      ],
      [
        [5, 0],
        [5, 0.1],
      ],
    ),
  ).toBe(0)
  expect(count([[3, 0.1]], [[3, 0.1]])).toBe(1)
})
