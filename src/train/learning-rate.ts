/** How the learning rate falls over a run (spec §7.5). */

export type LearningRateSchedule = 'linear' | 'constant' | 'cosine'

/** The factor before the update `step` (0-based) of `steps`: linear falls from 1 to 0.1, cosine from 1 to 0. */
export function learningRateFactor(schedule: LearningRateSchedule, step: number, steps: number): number {
  const progress = Math.min(step / steps, 1)
  switch (schedule) {
    case 'constant':
      return 1
    case 'cosine':
      return (1 + Math.cos(Math.PI * progress)) / 2
    case 'linear':
      return 1 - 0.9 * progress
  }
}
