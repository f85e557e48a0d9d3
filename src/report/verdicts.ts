/** What the previews of a run amount to: the checkpoints to choose from, and the verdicts as a file for machines. Pure. */
import type { Best, Candidate, Verdict } from '../analysis/verdict.ts'
import type { Dataset } from '../dataset/dataset.ts'
import type { StepMetrics } from './metrics.ts'

export type JudgedClip = { prompt: string; previews: readonly { step: number; verdict: Verdict }[] }

/** One for each step that has previews. */
export function candidates(clips: readonly JudgedClip[], metrics: readonly StepMetrics[]): Candidate[] {
  const previews = clips.flatMap(({ previews }) => previews)
  const fixedLoss = new Map(metrics.map(({ step, fixed_loss }) => [step, fixed_loss]))
  return [...new Set(previews.map(({ step }) => step))].map((step) => ({
    step,
    verdicts: previews.filter((preview) => preview.step === step).map(({ verdict }) => verdict),
    fixedLoss: fixedLoss.get(step),
  }))
}

export const verdictFile = (clips: readonly JudgedClip[], best: Best | undefined) => ({
  best: best ?? null,
  previews: clips.flatMap(({ prompt, previews }, i) =>
    previews.map(({ step, verdict }) => ({ preview: i + 1, prompt, step, ...verdict })),
  ),
})

/** How far the targets that are used are from their references, in the middle; `undefined` where nobody listened. */
export function medianDistance({ pairs }: Dataset): number | undefined {
  const distances = pairs.flatMap(({ plan, sound }) => (plan.use && sound?.distance != null ? [sound.distance] : []))
  return distances.sort((a, b) => a - b)[Math.floor(distances.length / 2)]
}
