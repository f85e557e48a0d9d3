/** The previews of a run as its report has them: made small, judged once, and remembered over interruptions. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { judge, type Verdict } from '../analysis/verdict.ts'
import { compressSound } from '../audio/compress.ts'
import { decodeWav } from '../audio/wav.ts'
import type { Waveform } from '../audio/waveform.ts'
import { type PageSound, pageSound } from '../report/page/player.ts'
import type { ReportedClip } from '../report/run-page.ts'
import type { RunFolder } from '../train/run-folder.ts'
import type { ValidationClip } from './validation.ts'

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
