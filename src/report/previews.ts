/** The previews and reconstructions of a run for its report: compressed, judged once, and restored after an interruption. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { toMono } from '../audio/analysis/channels.ts'
import { logMelDistance, spectrogramOf } from '../audio/analysis/spectrogram.ts'
import { type BestCheckpoint, type CheckpointCandidate, judge, type Verdict } from '../audio/analysis/verdict.ts'
import { compressAudio } from '../audio/compress.ts'
import { decodeWav, encodeWav } from '../audio/wav.ts'
import type { Waveform } from '../audio/waveform.ts'
import type { Dataset } from '../dataset/dataset.ts'
import { median } from '../platform/statistics.ts'
import type { ValidationClip } from '../train/events.ts'
import { type RunFolder, savedLora } from '../train/run-folder.ts'
import type { StepMetrics } from './loss-curves.ts'
import { type PageSound, pageSound } from './page/player.ts'
import type { Reconstruction, ReportedClip } from './run-page.ts'

export type PreviewHistory = {
  /** @param number of the validation clip, 1-based. @param at the step, where 0 is the base without a LoRA, or the best LoRA. */
  add(number: number, at: number | 'best', waveform: Waveform): Promise<void>
  /** All previews with their verdicts. */
  judged(known: KnownDistances): ReportedClip[]
}

/** The distances that verdicts are measured by; see `judge`. */
export type KnownDistances = { pairDistance: number | undefined; reconstructionDistance: number | undefined }

/** The waveform is kept until the preview is judged; that of the base, which others are compared with, for the whole run. */
type StoredPreview = { waveform?: Waveform | undefined; sound: PageSound; verdict?: Verdict }

const kilobitsPerSecond = 96

/**
 * Starts with the previews that the run rendered before it was interrupted.
 * @param lastStep the step that the run has done. Previews of later steps belong to steps that are done again.
 */
export async function openPreviewHistory(
  run: RunFolder,
  clips: readonly ValidationClip[],
  lastStep: number,
): Promise<PreviewHistory> {
  const stored = clips.map(() => new Map<number | 'best', StoredPreview>())
  const references = await Promise.all(clips.map(({ reference }) => soundOf(reference)))
  const targets = await Promise.all(clips.map(({ target }) => target && soundOf(target)))

  const put = async (number: number, at: number | 'best', waveform: Waveform) => {
    stored[number - 1]?.set(at, { waveform, sound: await soundOf(waveform) })
  }
  const add = async (number: number, at: number | 'best', rendered: Waveform) => {
    const waveform = decodeWav(encodeWav(rendered)) // as a resumed run reads it from its file
    await put(number, at, waveform)
  }

  const verdictOf = (clip: number, at: number | 'best', preview: StoredPreview, known: KnownDistances): Verdict => {
    if (preview.verdict) return preview.verdict
    const { reference, target } = clips[clip] as ValidationClip
    const base = at === 0 ? 'preview' : stored[clip]?.get(0)?.waveform
    preview.verdict = judge({ preview: preview.waveform as Waveform, reference, target, base, ...known })
    if (at !== 0) preview.waveform = undefined
    return preview.verdict
  }
  const judgedBest = (clip: number, known: KnownDistances) => {
    const best = stored[clip]?.get('best')
    return best && { best: { sound: best.sound, verdict: verdictOf(clip, 'best', best, known) } }
  }

  for (const { number, step, path } of earlierPreviews(run, lastStep))
    await put(number, step, decodeWav(readFileSync(path)))
  for (const [i] of clips.entries()) {
    const path = run.bestPreview(i + 1)
    if (existsSync(path)) await put(i + 1, 'best', decodeWav(readFileSync(path)))
  }
  return {
    add,
    judged: (known) =>
      clips.map(({ prompt, heldOut }, clip) => ({
        prompt,
        heldOut,
        reference: references[clip] as PageSound,
        target: targets[clip],
        ...judgedBest(clip, known),
        previews: [...(stored[clip] ?? [])]
          .flatMap(([at, preview]) => (at === 'best' ? [] : [[at, preview] as const]))
          .sort(([a], [b]) => a - b)
          .map(([step, preview]) => ({ step, sound: preview.sound, verdict: verdictOf(clip, step, preview, known) })),
      })),
  }
}

/** In the order in which they were rendered. */
function earlierPreviews(run: RunFolder, lastStep: number) {
  const folder = dirname(run.preview(1, 0))
  const names = existsSync(folder) ? readdirSync(folder) : []
  return names
    .flatMap((name) => {
      const [, number, step] = name.match(/^preview-(\d+)-(\d+)\.wav$/) ?? []
      return number === undefined ? [] : [{ number: Number(number), step: Number(step), path: join(folder, name) }]
    })
    .filter(({ step }) => step <= lastStep)
    .sort((a, b) => a.step - b.step || a.number - b.number)
}

/** A sound as pages play it. */
const soundOf = async (waveform: Waveform): Promise<PageSound> =>
  pageSound(waveform, await compressAudio(waveform, kilobitsPerSecond))

/** A clip beside its reconstruction, with their distance in decibels; null where one of them is silent. */
export async function reconstructionOf(
  name: string,
  original: Waveform,
  reconstructed: Waveform,
): Promise<Reconstruction> {
  const distance = logMelDistance(spectrogramOf(toMono(original)), spectrogramOf(toMono(reconstructed)))
  return { name, original: await soundOf(original), reconstructed: await soundOf(reconstructed), distance }
}

export type JudgedClip = {
  prompt: string
  heldOut?: string | undefined
  previews: readonly { step: number; verdict: Verdict }[]
  best?: { verdict: Verdict }
}

/** The checkpoints to choose from: one for each step that has previews and whose LoRA is saved. */
export function candidates(
  clips: readonly JudgedClip[],
  metrics: readonly StepMetrics[],
  run: RunFolder,
): CheckpointCandidate[] {
  const previews = clips.flatMap(({ previews }) => previews)
  const fixedLosses = new Map(metrics.map(({ step, fixed_loss }) => [step, fixed_loss]))
  return [...new Set(previews.map(({ step }) => step))].flatMap((step) => {
    const lora = savedLora(run, step)
    const verdicts = previews.filter((preview) => preview.step === step).map(({ verdict }) => verdict)
    return lora === undefined || step === 0
      ? []
      : [{ step, verdicts, fixedLoss: fixedLosses.get(step), lora: relative(run.path, lora) }]
  })
}

/** The content of `verdicts.json`. */
export const verdictFile = (clips: readonly JudgedClip[], best: BestCheckpoint | undefined) => ({
  best: best ?? null,
  previews: clips.flatMap(({ prompt, previews, best: withBest }, i) => [
    ...previews.map(({ step, verdict }) => ({ preview: i + 1, prompt, step, ...verdict })),
    ...(best && withBest ? [{ preview: i + 1, prompt, step: best.step, isBest: true, ...withBest.verdict }] : []),
  ]),
})

/** The median distance between reference and target over the pairs that are used; undefined where none was measured. */
export function medianDistance({ pairs }: Dataset): number | undefined {
  const distances = pairs.flatMap(({ plan, sound }) => (plan.use && sound?.distance != null ? [sound.distance] : []))
  return distances.length > 0 ? median(distances) : undefined
}
