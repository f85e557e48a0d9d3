/**
 * What may change when a run is resumed, and what may not. Whatever decides what the LoRA is and what it has seen stays; how long it is trained,
 * how fast, and what is written on the way may change. Data and base may lie elsewhere: their content is checked when it has been read.
 */
import type { Job } from '../config/job-file.ts'
import { jobOf, type TrainSettings } from '../config/train-settings.ts'
import { UserError } from '../errors.ts'
import type { RunChange } from '../train/run-folder.ts'

const fixed = [
  ...['trigger_phrase', 'audio_duration_seconds', 'audio_normalize', 'audio_preserve_pitch'],
  ...['rank', 'alpha', 'target_modules', 'gradient_accumulation', 'seed'],
  'out',
]

/**
 * Looks only at the settings, so it costs nothing.
 * @throws UserError naming each that cannot change, with both values.
 */
export function refuseFixedChanges(before: TrainSettings, now: TrainSettings, run: string) {
  const refused = Object.entries(changesBetween(before, now)).filter(([name]) => fixed.includes(name))
  if (refused.length === 0) return
  const told = refused.map(([name, { from, to }]) => `${name} was ${shown(from)} and cannot become ${shown(to)}`)
  throw new UserError(`${run} was begun otherwise: ${told.join('; ')}`, {
    hint: 'resume without it, or start a new run with another --out',
  })
}

/** What is different now, and all parameters as they are now; undefined where nothing is. */
export function settingsChange(before: TrainSettings, now: TrainSettings) {
  const changed = changesBetween(before, now)
  return Object.keys(changed).length > 0 ? { changed, parameters: jobOf(now) } : undefined
}

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
