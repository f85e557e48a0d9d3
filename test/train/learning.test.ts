import { describe, expect, it } from 'vitest'
import { randomFor } from '../../src/platform/random.ts'
import { type LearningVerdict, type LossPoint, learningVerdict } from '../../src/train/learning.ts'

/** A curve over the course of a run, 0 to 1. */
type Course = (time: number) => number

/** Evaluations of a run of 1000 steps. @param jitter the standard deviation of both losses at each step but the first, where nothing is trained. */
function evaluated(heldOut: Course, training: Course, { count = 21, jitter = 0, seed = 1 } = {}): LossPoint[] {
  const random = randomFor(seed, 'jitter')
  return Array.from({ length: count }, (_, i) => {
    const time = i / (count - 1)
    const noise = () => (i === 0 ? 0 : jitter * random.normal())
    return { step: Math.round(1000 * time), heldOutLoss: heldOut(time) + noise(), fixedLoss: training(time) + noise() }
  })
}

/** Falls from 1 by a share of it, mostly within the first tenth of the run. */
const falling =
  (share: number, speed = 12): Course =>
  (time) =>
    1 - share * (1 - Math.exp(-speed * time))

/** Falls by a fifth, and rises again from 30 % of the run on. */
const risingAgain: Course = (time) => falling(0.2)(time) + 0.2 * Math.max(0, time - 0.3)

const cases: [LearningVerdict['word'], string, Course, Course][] = [
  ['learning', 'both losses still fall', falling(0.3, 1), falling(0.3, 1)],
  ['learning', 'a small fall goes on', falling(0.1, 1), falling(0.12, 1)],
  ['converged', 'the held-out loss has stopped falling', falling(0.2), falling(0.2)],
  ['converged', 'it has stopped, and the training loss falls on', falling(0.2), falling(0.5, 2)],
  ['overfitting', 'the held-out loss rises again, and the training loss falls on', risingAgain, falling(0.5, 2)],
  ['overfitting', 'the training loss falls nearly alone', falling(0.02), falling(0.4, 3)],
  ['overfitting', 'the held-out loss rises from the beginning', (time) => 1 + 0.1 * time, falling(0.4, 3)],
  ['too-weak', 'neither falls', () => 1, () => 0.9],
  ['too-weak', 'both hardly fall', falling(0.006, 1), falling(0.008, 1)],
  ['unstable', 'both rise again', risingAgain, risingAgain],
  ['unstable', 'both are above the base', falling(-0.2), falling(-0.3)],
]

describe('the verdict on the losses of a run is', () => {
  it.each(cases)('%s where %s', (word, _, heldOut, training) => {
    for (const count of [5, 9, 11, 21, 41])
      expect(learningVerdict(evaluated(heldOut, training, { count })).word).toBe(word)
  })

  it.each(cases)('%s where %s, in 19 of 20 runs with jitter', (word, _, heldOut, training) => {
    const seeds = Array.from({ length: 200 }, (_, seed) => seed)
    for (const count of [11, 21, 41]) {
      const words = seeds.map(
        (seed) => learningVerdict(evaluated(heldOut, training, { count, jitter: 0.002, seed })).word,
      )
      expect(words.filter((found) => found === word).length, `${count} evaluations`).toBeGreaterThanOrEqual(190)
    }
  })

  it('unknown with fewer than three evaluations that have a held-out loss', () => {
    const points = [0, 100, 200].map((step) => ({ step, fixedLoss: 1, heldOutLoss: 1 }))
    expect(learningVerdict(points).word).toBe('too-weak')
    expect(learningVerdict(points.with(1, { step: 100, fixedLoss: 1, heldOutLoss: Number.NaN })).sentence).toMatch(
      /^Too few evaluations .*there are 2/,
    )
    expect(learningVerdict([]).word).toBe('unknown')
  })
})

describe('the sentence of a verdict', () => {
  it('names the step with the lowest held-out loss, the losses, and what to do about overfitting', () => {
    expect(learningVerdict(evaluated(risingAgain, falling(0.5, 2)))).toEqual({
      word: 'overfitting',
      since: 300,
      sentence: expect.stringMatching(
        /^Overfitting since step 300: the held-out loss fell from 1\.0000 to 0\.8\d+ until then and has risen to 0\.9400 since, .*best\.safetensors.*fewer steps.*lower rank.*more pairs\.$/,
      ),
    })
  })

  it('proposes half as many steps again for a run that still learns', () => {
    const { sentence } = learningVerdict(evaluated(falling(0.3, 1), falling(0.3, 1)))
    expect(sentence).toMatch(/^Still learning: .*step 1000; .*--number-of-steps 1500\.$/)
  })

  it('says since when a converged run has hardly changed', () => {
    const { since, sentence } = learningVerdict(evaluated(falling(0.2), falling(0.2)))
    expect(since).toBe(200) // exp(−12 · 0.2) = 0.09: the rest of the fall is less than a tenth
    expect(sentence).toMatch(/^Converged: .*since step 200; .*rank or more pairs/)
  })
})

it('the demo, trained ten times as long with four held-out pairs, overfits', () => {
  // on native TensorFlow, --holdout 4 --number-of-steps 1000: step, held-out loss, training loss
  const recorded = [
    ...[
      [0, 0.9191, 0.782],
      [50, 0.7696, 0.5728],
      [100, 0.8058, 0.5574],
    ],
    ...[
      [150, 0.7834, 0.5319],
      [200, 0.79, 0.5116],
      [250, 0.7971, 0.4984],
    ],
    ...[
      [300, 0.8301, 0.4985],
      [350, 0.8292, 0.4888],
      [400, 0.8273, 0.4793],
    ],
    ...[
      [450, 0.838, 0.4581],
      [500, 0.8624, 0.4486],
      [550, 0.8698, 0.4486],
    ],
    ...[
      [600, 0.8534, 0.4401],
      [650, 0.855, 0.4307],
      [700, 0.8671, 0.4248],
    ],
    ...[
      [750, 0.8812, 0.4154],
      [800, 0.899, 0.4134],
      [850, 0.8773, 0.4097],
    ],
    ...[
      [900, 0.905, 0.4056],
      [950, 0.9036, 0.4027],
      [1000, 0.8944, 0.3971],
    ],
  ] as const
  const points = recorded.map(([step, heldOutLoss, fixedLoss]) => ({ step, heldOutLoss, fixedLoss }))
  expect(learningVerdict(points)).toMatchObject({ word: 'overfitting', since: 50 })
  expect(learningVerdict(points.slice(0, 3)).word).toBe('converged') // after 100 steps, as long as the demo trains
  expect(learningVerdict(points.filter(({ step }) => step % 250 === 0)).word).toBe('overfitting')
})
