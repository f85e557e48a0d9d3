/**
 * What must not change when a run is resumed: the base, the data, and the settings that decide what the LoRA is. They are compared one by one, so that
 * the error can name what differs. The number of steps and the learning rate may change.
 */
import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { Job } from '../config/job-file.ts'
import { jobOf, type TrainSettings } from '../config/settings.ts'
import type { EncodedPair } from '../encode/dataset.ts'
import { float32Bytes } from '../formats/dtypes.ts'
import { UserError } from '../platform/errors.ts'
import type { RendererName } from '../preview/renderer.ts'
import type { RunChange } from './run-folder.ts'
import type { TrainerSettings } from './trainer.ts'

export type ResumeCheck = {
  /** By their names in messages. */
  settings: Readonly<Record<string, string>>
  /** Each pair's name with the hash of its latents and context. */
  pairs: readonly (readonly [name: string, hash: string])[]
  /** The same of the held-out pairs, where there are any. */
  heldOut?: readonly (readonly [name: string, hash: string])[] | undefined
}

/** @param base the fingerprint of the base model. */
export const resumeCheckOf = (
  base: string,
  pairs: readonly EncodedPair[],
  settings: TrainerSettings,
  heldOut: readonly EncodedPair[] = [],
): ResumeCheck => ({
  settings: {
    'base model': base,
    rank: String(settings.rank),
    alpha: String(settings.alpha),
    target_modules: settings.targetModules.join(','),
    gradient_accumulation: String(settings.accumulation),
    seed: String(settings.seed),
    ...(settings.ema && { ema: String(settings.ema) }),
  },
  pairs: hashesOf(pairs),
  ...(heldOut.length > 0 && { heldOut: hashesOf(heldOut) }),
})

const hashesOf = (pairs: readonly EncodedPair[]) => pairs.map((pair) => [pair.name, hashOf(pair)] as const)

/** What differs, in words, with both values. Empty where the two are the same. */
export function differences(before: ResumeCheck, now: ResumeCheck): string[] {
  const names = new Set([...Object.keys(before.settings), ...Object.keys(now.settings)])
  const settings = [...names].flatMap((name) => {
    const [was, is] = [before.settings[name] ?? 'unknown', now.settings[name] ?? 'unknown']
    return was === is ? [] : [`${name} was ${was} and is now ${is}`]
  })
  return [
    ...settings,
    ...shortened(pairDifferences('pair', before.pairs, now.pairs)),
    ...shortened(pairDifferences('held-out pair', before.heldOut ?? [], now.heldOut ?? [])),
  ]
}

const resumeCheckSchema = z.object({
  settings: z.record(z.string(), z.string()),
  pairs: z.array(z.tuple([z.string(), z.string()])),
  heldOut: z.array(z.tuple([z.string(), z.string()])).optional(),
})

/** Parses a check that was written as JSON; undefined for anything else. */
export function parseResumeCheck(text: string): ResumeCheck | undefined {
  try {
    return resumeCheckSchema.parse(JSON.parse(text))
  } catch {
    return undefined
  }
}

function pairDifferences(noun: string, pairsBefore: ResumeCheck['pairs'], pairsNow: ResumeCheck['pairs']): string[] {
  const [before, now] = [new Map(pairsBefore), new Map(pairsNow)]
  const gone = [...before.keys()].filter((name) => !now.has(name))
  const added = [...now.keys()].filter((name) => !before.has(name))
  const changed = [...now].filter(([name, hash]) => before.has(name) && before.get(name) !== hash)
  return [
    ...gone.map((name) => `the ${noun} ${name} is gone`),
    ...added.map((name) => `the ${noun} ${name} is new`),
    ...changed.map(([name]) => `the ${noun} ${name} has changed`),
  ]
}

const shortened = (list: string[]) =>
  list.length > 3 ? [...list.slice(0, 2), `${list.length - 2} more pairs differ`] : list

function hashOf({ target, reference, context, recordings }: EncodedPair): string {
  const hash = createHash('sha256')
  for (const { shape, values } of [target, reference, context]) hash.update(`${shape}:`).update(float32Bytes(values))
  if (recordings !== undefined) hash.update(recordings)
  return hash.digest('hex').slice(0, 16)
}

/**
 * The parameters that cannot change when a run is resumed, because they decide what the LoRA is and what it was trained on. Data and base may have
 * been moved: their content is checked by `differences` after it was read.
 */
const fixedParameters = [
  ...['trigger_phrase', 'audio_duration_seconds', 'windows', 'audio_normalize', 'audio_preserve_pitch'],
  ...['rank', 'alpha', 'target_modules', 'gradient_accumulation', 'seed'],
  ...['ema', 'holdout'],
  'out',
]

/**
 * Compares the settings only, before anything is read.
 * @param named the name of a parameter as the caller writes it.
 * @throws UserError naming each parameter that cannot change, with both values.
 */
export function refuseFixedChanges(
  before: TrainSettings,
  now: TrainSettings,
  run: string,
  named = (name: string) => name,
) {
  const refused = Object.entries(changesBetween(before, now)).filter(([name]) => fixedParameters.includes(name))
  if (refused.length === 0) return
  const changes = refused.map(
    ([name, { from, to }]) => `${named(name)} was ${shown(from)} and cannot become ${shown(to)}`,
  )
  throw new UserError(`${run} was started with other parameters: ${changes.join('; ')}`, {
    hint: 'resume without it, or start a new run with another --out',
    parameter: refused[0]?.[0],
  })
}

/** The parameters that changed, and all parameters as they are now; undefined where none changed. */
export function settingsChange(before: TrainSettings, now: TrainSettings) {
  const changed = changesBetween(before, now)
  return Object.keys(changed).length > 0 ? { changed, parameters: jobOf(now) } : undefined
}

/** The parameters that decide what previews sound like, besides the LoRA. Previews that were rendered with others cannot be compared. */
const previewParameters = [
  ...['validation', 'validation_negative_prompt', 'validation_frame_rate'],
  ...['preview_steps', 'preview_cfg', 'stg_scale', 'renderer', 'holdout_previews'],
]

/** What decides how the previews of a run sound, besides the LoRA. The settings may say `auto`; `renderer` is the one that is used. */
export type PreviewConditions = { settings: TrainSettings; renderer: RendererName }

/** The names of the parameters of previews that differ. @param more names to compare as well. */
export function previewChanges(before: PreviewConditions, now: PreviewConditions, more: readonly string[] = []) {
  const changed = changesBetween(withRenderer(before), withRenderer(now))
  return Object.keys(changed).filter((name) => [...previewParameters, ...more].includes(name))
}

const withRenderer = ({ settings, renderer }: PreviewConditions): TrainSettings => ({ ...settings, renderer })

function changesBetween(before: TrainSettings, now: TrainSettings): RunChange['changed'] {
  const [was, is]: [Job, Job] = [jobOf(before), jobOf(now)]
  const names = [...new Set([...Object.keys(was), ...Object.keys(is)])]
  return Object.fromEntries(
    names
      .filter((name) => JSON.stringify(was[name]) !== JSON.stringify(is[name]))
      .map((name) => [name, { from: was[name] ?? null, to: is[name] ?? null }]),
  )
}

const shown = (value: unknown) => {
  const text = JSON.stringify(value)
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}
