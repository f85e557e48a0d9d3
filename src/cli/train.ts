/** `ltx-a2a train`: a zip of pairs becomes a LoRA that can be heard. */

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { jobOf, resolveTrainSettings, type TrainSettings } from '../config/settings.ts'
import type { Flags } from '../config/values.ts'
import type { FittedPair } from '../dataset/clips.ts'
import { assertTrainable, type Dataset, inspectDataset } from '../dataset/dataset.ts'
import { createDebugDataset } from '../dataset/debug-dataset.ts'
import { findingText } from '../dataset/problem.ts'
import { openSource, type Source } from '../dataset/source.ts'
import { openCache } from '../encode/cache.ts'
import { requireTexts } from '../encode/captions.ts'
import { encodeDataset } from '../encode/dataset.ts'
import { startBackend } from '../engine/backend.ts'
import { chooseRecompute } from '../engine/checkpointing.ts'
import { type BaseModel, openBaseModel } from '../model/base-model.ts'
import { loadTransformer, type Transformer } from '../model/transformer/transformer.ts'
import { lockRun } from '../platform/lock.ts'
import { openRunReport } from '../report/run-report.ts'
import { probeRun } from '../train/dry-run.ts'
import { tellFit } from '../train/resources.ts'
import { refuseFixedChanges } from '../train/resume-check.ts'
import { createRunFolder, openRunFolder, type RunConfig, type RunFolder } from '../train/run-folder.ts'
import { trainLora } from '../train/train-lora.ts'
import { createValidation, readValidationClips } from '../train/validation.ts'
import { type Interruption, watchInterruption } from './signals.ts'
import { durationText } from './terminal/progress-bars.ts'
import type { Terminal } from './terminal/terminal.ts'

/** A run to go on with, and its settings so far. */
export type BegunRun = { run: RunFolder; settings: TrainSettings }

/**
 * Everything that can be wrong with the data, the model or the folder is found before the first byte is written.
 * @param begun without one a new run begins.
 * @param dryRun only shows what the run would take.
 * @throws UserError with what the person can change; Interrupted after Ctrl-C, when the run is saved.
 */
export async function runTrain(
  settings: TrainSettings,
  terminal: Terminal,
  { begun, dryRun = false }: { begun?: BegunRun; dryRun?: boolean } = {},
): Promise<void> {
  const started = performance.now()
  const interruption = watchInterruption(() => terminal.note('stopping after this step; Ctrl-C again leaves at once'))
  let lock = begun && !dryRun ? lockRun(begun.run.path) : undefined
  const source = await openSource(settings.trainingDataUrl)
  try {
    const dataset = await lookThrough(source, settings, terminal, interruption)
    const base = openBaseModel(settings)
    describeBase(base, terminal)
    if (settings.validation.length > 0) adviseGuidance(base, '--preview-cfg', settings.previewCfg, terminal)
    const clips = await readValidationClips(settings)
    const prompts = clips.length > 0 ? [...clips.map(({ prompt }) => prompt), settings.validationNegativePrompt] : []
    const texts = new Set([...usedCaptions(dataset), ...prompts])
    const cache = openCache()
    const unknownTexts = requireTexts(base, texts, cache)
    const backend = await startBackend(settings.backend)
    terminal.note(`Backend: ${backend.name}, ${backend.description}`)
    const folder = begun?.run.path ?? settings.out ?? defaultFolder(dataset)
    chooseRecompute(settings.recompute)
    const counts = { clips: 2 * dataset.counts.used, texts: texts.size, unknownTexts, previews: clips.length }
    await tellFit(base, { ...settings, ...counts }, folder, terminal)
    if (dryRun) return await probeRun(base, loadModel(base, terminal), settings, clips.length, terminal)
    lock ??= lockRun(folder)
    const run = begun?.run ?? createRunFolder(folder, configOf(settings))

    const report = await openRunReport({ run, settings, dataset, base, backend: backend.name, clips }, terminal)
    const debug = settings.debugDataset ? createDebugDataset(run.debugDataset, dataset) : undefined
    const encodeOptions = {
      source,
      dataset,
      base,
      cache,
      clips,
      prompts,
      onClip: (pair: FittedPair) => {
        debug?.add(pair)
        report.addClip(pair)
      },
    }
    const encoded = await encodeDataset(encodeOptions, terminal, interruption)
    await debug?.finish()
    await report.hearRoundTrips(encoded.pairs)

    const model = loadModel(base, terminal)
    const validation = createValidation({ base, model, run, settings }, { clips, ...encoded }, terminal, {
      checkInterruption: interruption.check,
      onPreview: report.addPreview,
    })
    const training = { base, model, pairs: encoded.pairs, run, settings, before: begun?.settings, validation }
    try {
      await trainLora({ ...training, onProgress: report.refresh }, terminal, interruption)
    } finally {
      validation.close()
      await report.finish()
    }
    terminal.note(trainingSummary(run, settings, (performance.now() - started) / 1000))
  } finally {
    interruption.release()
    await source.close()
    lock?.release()
  }
}

/** Shows what is wrong with the data, all at once, and stops here if nothing can be trained on. */
async function lookThrough(
  source: Source,
  settings: TrainSettings,
  terminal: Terminal,
  interruption: Interruption,
): Promise<Dataset> {
  const options = {
    triggerPhrase: settings.triggerPhrase,
    seconds: settings.audioDurationSeconds,
    preservePitch: settings.audioPreservePitch,
    normalize: settings.audioNormalize,
  }
  const stage = terminal.stage('Looking through the data', source.paths.length, 'files')
  const dataset = await inspectDataset(source, options, {
    listens: true,
    onProgress: ({ done, total }) => {
      stage.update((done / total) * source.paths.length)
      interruption.check()
    },
  })
  const { used, pairs, stretched, trimmed, skipped } = dataset.counts
  stage.done(`${used} of ${pairs} pairs usable: ${stretched} stretched, ${trimmed} trimmed, ${skipped} skipped`)
  assertTrainable(dataset)
  for (const { message, hint } of dataset.problems) terminal.warn(hint ? `${message} (${hint})` : message)
  for (const finding of dataset.advice?.findings ?? [])
    if (finding.severity === 'warning') terminal.warn(`${findingText(finding, mostNames)} (${finding.hint})`)
  return dataset
}

/** The rest stands in the report. */
const mostNames = 4

const usedCaptions = ({ pairs }: Dataset) => pairs.filter(({ plan }) => plan.use).map(({ caption }) => caption)

export function describeBase({ isBundled, checkpoint, config }: BaseModel, terminal: Terminal) {
  if (isBundled) terminal.note('Base: the small bundled one, for trying the tool; --model chooses a real one')
  else terminal.note(`Base: ${checkpoint.path}, ${config.transformer.num_layers} blocks`)
}

/** The bundled base has learned little from captions: what guidance adds is mostly noise. */
const bundledGuidance = 2

/** @param flag by which previews are told how much guidance they get. */
export function adviseGuidance({ isBundled }: BaseModel, flag: string, cfg: number, terminal: Terminal) {
  if (!isBundled || cfg <= bundledGuidance) return
  terminal.warn(`guidance of ${cfg} is too much for the small bundled base: previews sound best with ${flag} 1`)
}

export function loadModel({ components, config }: BaseModel, terminal: Terminal): Transformer {
  const stage = terminal.stage('Loading the model', config.transformer.num_layers, 'blocks')
  const model = loadTransformer(components.transformer, config.transformer, (done) => stage.update(done))
  stage.done(`${config.transformer.num_layers} blocks`)
  return model
}

const configOf = (settings: TrainSettings): RunConfig => ({
  tool: 'ltx-a2a',
  training_type: 'audio_to_audio_lora',
  trigger_phrase: settings.triggerPhrase,
  parameters: jobOf(settings),
})

/** `runs/<dataset>-20260131-235959`, in local time. */
function defaultFolder({ name }: Dataset, now = new Date()): string {
  const two = (part: number) => String(part).padStart(2, '0')
  const date = [now.getFullYear(), two(now.getMonth() + 1), two(now.getDate())].join('')
  const time = [now.getHours(), now.getMinutes(), now.getSeconds()].map(two).join('')
  return join('runs', `${name}-${date}-${time}`)
}

/** `ltx-a2a train --resume`: going on with a run, with its own parameters, and flags on top. */

/** @param path the run's folder, or `latest`. @throws UserError when it is no run, or the flags would make it another one. */
export async function resumeTrain(path: string, flags: Flags, terminal: Terminal): Promise<void> {
  const { run, config } = openRunFolder(path)
  const begun = { job: config.parameters, file: run.config }
  const before = resolveTrainSettings({ flags: {}, begun })
  const { settings, notices } = resolveTrainSettings({ flags, begun })
  refuseFixedChanges(before.settings, settings, run.path)
  for (const notice of notices) terminal.note(notice)
  await runTrain(settings, terminal, { begun: { run, settings: before.settings } })
}

/** The last line of a run. */

/** What the hosted trainer asks per step, and the fewest steps it charges for. */
const hostedDollarsPerStep = 0.0023
const hostedFewestSteps = 100

/** The files, the time, and what the hosted trainer would have charged. */
export function trainingSummary(run: RunFolder, { numberOfSteps }: TrainSettings, seconds: number): string {
  const files = [run.lora, run.audio, run.report, run.config, run.metrics, run.debugDataset].filter((path) =>
    existsSync(path),
  )
  const dollars = Math.max(hostedFewestSteps, numberOfSteps) * hostedDollarsPerStep
  return `Done in ${durationText(seconds)}: ${files.join(', ')}. The hosted trainer would have charged $${dollars.toFixed(2)}.`
}
