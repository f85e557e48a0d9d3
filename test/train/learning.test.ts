import { describe, expect, it } from 'vitest'
import { randomFor } from '../../src/platform/random.ts'
import type { EvaluatedStep } from '../../src/train/evaluation.ts'
import { type LearningVerdict, learningVerdict } from '../../src/train/learning.ts'

/** A curve over the course of a run, 0 to 1. */
type Course = (time: number) => number

/** Evaluations of a run of 1000 steps. @param jitter the standard deviation of both losses at each step but the first, where nothing is trained. */
function evaluated(heldOut: Course, training: Course, { count = 21, jitter = 0, seed = 1 } = {}): EvaluatedStep[] {
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
    const counts = word === 'converged' ? [9, 11, 21, 41] : [5, 9, 11, 21, 41]
    for (const count of counts) expect(learningVerdict(evaluated(heldOut, training, { count })).word).toBe(word)
  })

  it.each(cases)('%s where %s, in 19 of 20 runs with jitter', (word, _, heldOut, training) => {
    const seeds = Array.from({ length: 200 }, (_, seed) => seed)
    const jitter = word === 'converged' ? 0.001 : 0.002 // 1 % of the fall: more can hide a trend of 5 %
    for (const count of [11, 21, 41]) {
      const words = seeds.map((seed) => learningVerdict(evaluated(heldOut, training, { count, jitter, seed })).word)
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
    expect(sentence).toMatch(/^Still learning: .*from step 700 on, is still downwards, .*--number-of-steps 1500\.$/)
  })

  it('says since when a converged run has changed little', () => {
    const { since, sentence } = learningVerdict(evaluated(falling(0.2), falling(0.2)))
    expect(since).toBe(250) // exp(−12 · 0.25) = 0.0498: the rest of the fall is less than a twentieth
    expect(sentence).toMatch(
      /^Converged: .* from 1\.0000 to about 0\.8000 and has changed little since step 250; more steps may not help much, .*rank or more pairs/,
    )
  })
})

/** @param heldOut at 0, `interval`, 2 · `interval` … steps. @param fixed the same by default: both losses have the same course. */
const recorded = (interval: number, heldOut: readonly number[], fixed = heldOut): EvaluatedStep[] =>
  heldOut.map((heldOutLoss, i) => ({ step: interval * i, heldOutLoss, fixedLoss: fixed[i] as number }))

describe('convergence needs evidence', () => {
  it('which a curve whose jumps are as large as its fall does not give', () => {
    const { word, sentence } = learningVerdict(recorded(10, [0.635, 0.619, 0.597, 0.55, 0.549, 0.602, 0.591, 0.579]))
    expect(word).toBe('noisy')
    expect(sentence).toBe(
      'Too noisy to tell: the held-out loss went from 0.6350 to 0.5790, but rose by up to 0.0530 from one evaluation to the next; use a lower --learning-rate, or hold out more pairs.',
    )
  })

  // the demo on native TensorFlow, --holdout-data, --eval-interval 10 --learning-rate 0.005 --rank 16: losses at steps 0 to 300
  const demo = recorded(
    10,
    [
      ...[0.767, 0.6489, 0.6299, 0.6173, 0.5956, 0.5923, 0.5921, 0.5788, 0.5768, 0.5764, 0.5686, 0.5758, 0.5726],
      ...[0.5696, 0.5711, 0.5746, 0.5664, 0.5679, 0.5599, 0.5663, 0.5659, 0.5652, 0.5596, 0.5614, 0.5518, 0.5599],
      ...[0.5532, 0.5506, 0.5529, 0.5538, 0.5541],
    ],
    [
      ...[0.843, 0.7354, 0.6938, 0.6845, 0.6594, 0.6546, 0.6587, 0.6485, 0.6203, 0.6284, 0.614, 0.5998, 0.583],
      ...[0.5866, 0.5791, 0.5731, 0.5677, 0.5719, 0.5607, 0.5573, 0.5563, 0.5496, 0.546, 0.5478, 0.5373, 0.53],
      ...[0.53, 0.5302, 0.5261, 0.525, 0.5242],
    ],
  )

  it('so a run that patience ended before it is not called converged: here the loss fell on', () => {
    const ended = demo.slice(0, 14)
    expect(learningVerdict(ended, { endedEarly: true })).toEqual({
      word: 'unknown',
      sentence: expect.stringMatching(
        /^Ended by --patience, which does not mean converged: the held-out loss fell from 0\.7670 to 0\.5686, and its trend .* −0\.00\d\d ± 0\.0\d{3}, does not tell whether it still falls; resume with a larger --patience/,
      ),
    })
    expect(learningVerdict(ended).sentence).toMatch(/^Not clear yet: .*--number-of-steps 200\.$/)
    for (let count = 4; count <= demo.length; count++)
      expect(learningVerdict(demo.slice(0, count)).word, `${count} evaluations`).toMatch(/^(learning|unknown)$/)
  })

  it('and a run is not said to learn on at its last step where its last evaluations do not show it', () => {
    const { sentence } = learningVerdict(demo)
    expect(sentence).not.toMatch(/falls at step|still downwards/)
  })

  it('of at least six evaluations of a trained LoRA', () => {
    const flat = [1, 0.8, 0.8, 0.8001, 0.8, 0.8, 0.8]
    expect(learningVerdict(recorded(10, flat)).word).toBe('converged')
    const { word, sentence } = learningVerdict(recorded(10, flat.slice(0, 6)))
    expect(word).toBe('unknown')
    expect(sentence).toMatch(/5 evaluations of a trained LoRA are too few/)
  })

  it('without an evaluation that is far from the others', () => {
    expect(learningVerdict(recorded(10, [1, 0.8, 0.8, 0.8, 0.8, 0.83, 0.8, 0.8, 0.8])).word).toBe('unknown')
  })
})

describe('with a moving average', () => {
  const flat = [1, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8]
  const falling = [1, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65]
  const both = (ofLora: readonly number[], ofAverage: readonly number[]): EvaluatedStep[] =>
    recorded(10, ofLora).map((point, i) => {
      const average = ofAverage[i] as number
      return { ...point, emaFixedLoss: average, emaHeldOutLoss: average }
    })

  it('the verdict is on the curve that the best LoRA is from, and names it', () => {
    const average = learningVerdict(both(flat, falling))
    expect(average.word).toBe('learning')
    expect(average.sentence).toContain('the held-out loss of the moving average fell from 1.0000 to 0.6500')
    const lora = learningVerdict(both(falling, flat))
    expect(lora.word).toBe('learning')
    expect(lora.sentence).toContain('the held-out loss of the LoRA itself fell from 1.0000 to 0.6500')
    expect(learningVerdict(recorded(10, flat)).sentence).toContain('Converged: the held-out loss fell')
  })
})

it('the demo, trained ten times as long with four held-out pairs, overfits', () => {
  // on native TensorFlow, --holdout 4 --number-of-steps 1000: step, held-out loss, training loss
  const losses = [
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
  const points = losses.map(([step, heldOutLoss, fixedLoss]) => ({ step, heldOutLoss, fixedLoss }))
  expect(learningVerdict(points)).toMatchObject({ word: 'overfitting', since: 50 })
  expect(learningVerdict(points.slice(0, 3)).word).toBe('unknown') // after 100 steps, as long as the demo trains
  expect(learningVerdict(points.filter(({ step }) => step % 250 === 0)).word).toBe('overfitting')
})

describe('a run that ends worse than the base', () => {
  const verdictOf = (heldOut: readonly number[], training: readonly number[]) =>
    learningVerdict(heldOut.map((heldOutLoss, i) => ({ step: 8 * i, heldOutLoss, fixedLoss: training[i] as number })))

  it.each<[what: string, heldOut: number[], training: number[]]>([
    ['that fell before', [0.2912, 0.2882, 0.2706, 0.2822, 0.3181, 0.3057], [0.2961, 0.29, 0.285, 0.275, 0.265, 0.2583]],
    [
      'that rose from the beginning',
      [0.2912, 0.3187, 0.3468, 0.333, 0.3627, 0.3257],
      [0.2961, 0.3, 0.315, 0.31, 0.295, 0.2873],
    ],
    ['in three evaluations', [0.38, 0.404, 0.404], [0.3804, 0.39, 0.395]],
  ])('is not told to use a higher learning rate: one %s', (_, heldOut, training) => {
    expect(verdictOf(heldOut, training).sentence).not.toContain('higher learning rate')
  })

  it('has not overfitted if the training loss has risen as well', () => {
    const { word, sentence } = verdictOf([0.92, 0.96, 0.98], [0.9256, 0.928, 0.9309])
    expect([word, sentence]).toEqual(['unstable', expect.stringContaining('Worse than without the LoRA')])
  })
})
