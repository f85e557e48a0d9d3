/** The previews of a run as its report has them: made small, judged once, and remembered over interruptions. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { spectralDistance, spectrumOf, toMono } from '../audio/analysis/spectrum.ts'
import { type Best, type Candidate, judge, type Verdict } from '../audio/analysis/verdict.ts'
import { compressSound } from '../audio/compress.ts'
import { decodeWav } from '../audio/wav.ts'
import type { Waveform } from '../audio/waveform.ts'
import type { Terminal } from '../cli/terminal/terminal.ts'
import type { FittedPair } from '../dataset/clips.ts'
import type { Dataset } from '../dataset/dataset.ts'
import type { BaseModel } from '../model/base-model.ts'
import { renderLatents } from '../preview/render.ts'
import type { RunFolder } from '../train/run-folder.ts'
import type { EncodedPair } from '../train/trainer.ts'
import type { ValidationClip } from '../train/validation.ts'
import type { StepMetrics } from './loss-curves.ts'
import { type PageSound, pageSound } from './page/player.ts'
import type { ReportedClip, RoundTrip } from './run-page.ts'

export type HeardPreviews = {
  /** @param number of the clip, 1-based. Step 0 is the base. */
  add(number: number, step: number, waveform: Waveform): Promise<void>
  /** Everything with its verdict. */
  judged(known: KnownDistances): ReportedClip[]
}

/** What distances mean in this run; see `judge`. */
export type KnownDistances = { pairDistance: number | undefined; roundTripDistance: number | undefined }

/** The waveform is kept until it is judged; that of the base, which others are compared with, longer. */
type Heard = { waveform?: Waveform | undefined; sound: PageSound; verdict?: Verdict }

const kilobitsPerSecond = 96

/** A sound as pages play it. */
export const soundOf = async (waveform: Waveform): Promise<PageSound> =>
  pageSound(waveform, await compressSound(waveform, kilobitsPerSecond))

/** Begins with the previews that the run made before it was interrupted. */
export async function openHeardPreviews(run: RunFolder, clips: readonly ValidationClip[]): Promise<HeardPreviews> {
  const heard = clips.map(() => new Map<number, Heard>())
  const references = await Promise.all(clips.map(({ reference }) => soundOf(reference)))
  const targets = await Promise.all(clips.map(({ target }) => target && soundOf(target)))

  const add = async (number: number, step: number, waveform: Waveform) => {
    heard[number - 1]?.set(step, { waveform, sound: await soundOf(waveform) })
  }

  const verdictOf = (clip: number, step: number, preview: Heard, known: KnownDistances): Verdict => {
    if (preview.verdict) return preview.verdict
    const { reference, target } = clips[clip] as ValidationClip
    const base = heard[clip]?.get(0)?.waveform
    preview.verdict = judge({ preview: preview.waveform as Waveform, reference, target, base, ...known })
    if (step > 0) preview.waveform = undefined
    return preview.verdict
  }

  for (const { number, step, path } of earlierPreviews(run)) await add(number, step, decodeWav(readFileSync(path)))
  return {
    add,
    judged: (known) =>
      clips.map(({ prompt }, clip) => ({
        prompt,
        reference: references[clip] as PageSound,
        target: targets[clip],
        previews: [...(heard[clip] ?? [])].map(([step, preview]) => ({
          step,
          sound: preview.sound,
          verdict: verdictOf(clip, step, preview, known),
        })),
      })),
  }
}

function earlierPreviews(run: RunFolder) {
  const folder = dirname(run.preview(1, 0))
  const names = existsSync(folder) ? readdirSync(folder).sort() : []
  return names.flatMap((name) => {
    const [, number, step] = name.match(/^preview-(\d+)-(\d+)\.wav$/) ?? []
    return number === undefined ? [] : [{ number: Number(number), step: Number(step), path: join(folder, name) }]
  })
}

/** What the previews of a run amount to: the checkpoints to choose from, and the verdicts as a file for machines. Pure. */

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

/** A few targets of the dataset, sent through the autoencoder and the vocoder: what the model can hear, and say again. */

/** A minute of listening, not the whole dataset. */
const mostRoundTrips = 2

export type RoundTrips = {
  /** A pair as it is trained with; the first few are kept. */
  addClip(pair: FittedPair): void
  hear(base: BaseModel, pairs: readonly EncodedPair[], terminal: Terminal): Promise<void>
  readonly heard: readonly RoundTrip[]
}

export function createRoundTrips(): RoundTrips {
  const clips: FittedPair[] = []
  const heard: RoundTrip[] = []
  return {
    heard,
    addClip: (pair) => {
      if (clips.length < mostRoundTrips) clips.push(pair)
    },
    hear: async (base, pairs, terminal) => {
      const stage = terminal.stage('Round trips', clips.length, 'clips')
      for (const { name, target } of clips) {
        const latents = pairs.find((pair) => pair.name === name)?.target
        if (latents) heard.push(await roundTrip(name, target, await renderLatents(base, latents)))
        stage.update(heard.length)
      }
      stage.done(`what the model can hear of ${clips.map(({ name }) => name).join(' and ')}`)
    },
  }
}

async function roundTrip(name: string, original: Waveform, returned: Waveform): Promise<RoundTrip> {
  const distance = spectralDistance(spectrumOf(toMono(original)), spectrumOf(toMono(returned)))
  return { name, original: await soundOf(original), returned: await soundOf(returned), distance }
}
