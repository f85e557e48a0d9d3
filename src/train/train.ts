/** From a dataset of pairs to a LoRA: the sequence of a training run, and the functions that other programs call. */
import { join } from 'node:path'
import { defaultLimits, type Limits } from '../config/limits.ts'
import { camelCase } from '../config/parameter.ts'
import { jobOf, resolveTrainSettings, type TrainOptions, type TrainSettings } from '../config/settings.ts'
import type { Flags } from '../config/values.ts'
import { exampleCaption } from '../dataset/caption.ts'
import { type ClipStore, createDebugDataset, openClipStore } from '../dataset/clips.ts'
import { type Dataset, datasetOptionsOf } from '../dataset/dataset.ts'
import type { ComparedPair } from '../dataset/relations.ts'
import { openSource, type Source } from '../dataset/source.ts'
import { type Cache, cacheObstacle, openCache } from '../encode/cache.ts'
import { requireTextEncoderFor } from '../encode/captions.ts'
import { type EncodedDataset, encodeDataset, openClipDrawer } from '../encode/dataset.ts'
import { type BackendLease, leaseBackend } from '../engine/backend.ts'
import { type BaseModel, describeBase, openBase } from '../model/base-model.ts'
import { detachLora, matchTargets } from '../model/lora.ts'
import { adaptedLayers } from '../model/lora-layers.ts'
import type { Checkpointing } from '../model/transformer/checkpointing.ts'
import { disposeTransformer } from '../model/transformer/transformer.ts'
import { Interrupted, UserError, withParameter } from '../platform/errors.ts'
import { lockFolder } from '../platform/lock.ts'
import { canonicalPath } from '../platform/output-file.ts'
import { createReporter, type Reporter, type RunOptions } from '../platform/progress.ts'
import { shownValue } from '../platform/text.ts'
import { requireWritable } from '../platform/user-folders.ts'
import { adviseGuidance, loadModel, shownReference, warnOfSilence } from '../preview/inputs.ts'
import { chooseRenderer, explainRenderer, type RendererName } from '../preview/renderer.ts'
import { estimateRun } from './dry-run.ts'
import { holdsOut } from './evaluation.ts'
import type { SavedBest, TrainEvent, ValidationClip } from './events.ts'
import { heldOutClips, type SplitData, splitData } from './held-out.ts'
import { inspectForTraining } from './inspection-report.ts'
import type { LearningVerdict } from './learning.ts'
import { createPreviewRenderer, readValidationClips, reconstructTargets } from './previews.ts'
import type { RunEstimate } from './requirements.ts'
import { checkResources } from './resources.ts'
import { type PreviewConditions, refuseFixedChanges } from './resume-check.ts'
import {
  createRunFolder,
  openRunFolder,
  type RunConfig,
  type RunFolder,
  requireNewRunFolder,
  savedLora,
} from './run-folder.ts'
import { requireSameBase, savedStep } from './run-writer.ts'
import { resumeCommand, runTraining, stoppedMessage, type TrainingOutcome } from './training-run.ts'

export type TrainRunOptions = RunOptions<TrainEvent> & {
  /** Limits on the size of input and on the time to decode it. */
  limits?: Limits | undefined
  /** How many targets of the dataset to reconstruct for `reconstruction` events; 0 by default. */
  reconstructions?: number | undefined
}

export type TrainResult = {
  folder: RunFolder
  /** The trained LoRA. */
  loraPath: string
  /** How many steps the LoRA was trained for: fewer than asked for where training ended early. */
  steps: number
  /** With held-out pairs: what the losses say, and the LoRA with the lowest held-out loss. */
  verdict?: LearningVerdict
  best?: SavedBest
  seconds: number
}

/**
 * Trains a LoRA on a dataset of pairs.
 * @throws UserError with what the user can correct; before the `run` event nothing was written. Interrupted when the signal was aborted: the run is
 *   saved and can be resumed with `resumeTraining`.
 */
export async function train(options: TrainOptions, runOptions: TrainRunOptions = {}): Promise<TrainResult> {
  const { settings, notices } = resolveTrainSettings({ options })
  return startTraining(settings, notices, runOptions)
}

/** Trains with settings that were resolved before. @throws as `train` does. */
export async function startTraining(
  settings: TrainSettings,
  notices: readonly string[],
  runOptions: TrainRunOptions,
): Promise<TrainResult> {
  return runToEnd({ settings }, notices, runOptions)
}

/**
 * Continues a run that was interrupted, with its own parameters.
 * @param path the folder of the run, or `latest` for the newest one in the folder `runs`.
 * @param changes parameters to change, as options or as flags; what decides the identity of the LoRA cannot change.
 * @throws UserError when it is not a run, or a change would make it another run; otherwise as `train` does.
 */
export async function resumeTraining(
  path: string,
  changes: { options?: Partial<TrainOptions>; flags?: Flags } = {},
  runOptions: TrainRunOptions = {},
): Promise<TrainResult> {
  if (typeof path !== 'string' || typeof changes !== 'object' || changes === null)
    throw new UserError(`resumeTraining was called with ${shownValue(path)} and ${shownValue(changes)}`, {
      hint: 'give it the folder of a run, and an object of changes: { options }',
    })
  const unknown = Object.keys(changes).find((name) => name !== 'options' && name !== 'flags')
  if (unknown !== undefined)
    throw new UserError(`resumeTraining has no setting ${JSON.stringify(unknown)}`, { hint: 'put it into options' })
  const { run, config } = openRunFolder(path)
  const savedJob = { job: config.parameters, file: run.config }
  const previous = resolveTrainSettings({ savedJob }).settings
  const { settings, notices } = resolveTrainSettings({ ...changes, savedJob })
  refuseFixedChanges(previous, settings, run.path, changes.options && camelCase)
  return runToEnd(
    { settings, resumed: { run, previousSettings: previous, heldOut: heldOutOf(config) } },
    notices,
    runOptions,
  )
}

/**
 * Runs a few training steps on synthetic pairs and estimates the time and memory of the whole run. Nothing is written.
 * @throws UserError as `train` does.
 */
export async function dryRun(
  settings: TrainSettings,
  notices: readonly string[],
  runOptions: TrainRunOptions,
): Promise<RunEstimate> {
  const reporter = createReporter<TrainEvent>(runOptions)
  for (const notice of notices) reporter.info(notice)
  const prepared = await prepare({ settings }, settings.out, runOptions.limits, reporter)
  try {
    const model = loadModel(prepared.base, prepared, reporter)
    const counts = { references: prepared.validation.length, heldOut: prepared.split.heldOut.names.length }
    try {
      return await estimateRun(prepared.base, model, settings, counts, reporter)
    } finally {
      disposeTransformer(model)
    }
  } finally {
    await prepared.close()
  }
}

type RunRequest = {
  settings: TrainSettings
  /** The run to continue, and its settings so far. */
  resumed?: { run: RunFolder; previousSettings: TrainSettings; heldOut: readonly string[] | undefined }
}

async function runToEnd(
  { settings, resumed }: RunRequest,
  notices: readonly string[],
  runOptions: TrainRunOptions,
): Promise<TrainResult> {
  const started = performance.now()
  const secondsSoFar = () => (performance.now() - started) / 1000
  let step = resumed ? savedStep(resumed.run.state) : 0
  const onEvent = (event: TrainEvent) => {
    if (event.type === 'step' || event.type === 'checkpoint') step = event.step
    return runOptions.onEvent?.(event)
  }
  const reporter = createReporter<TrainEvent>({ ...runOptions, onEvent })
  for (const notice of notices) reporter.info(notice)
  if (!resumed && settings.out !== undefined) requireNewRunFolder(canonicalPath(settings.out))
  let run = resumed?.run
  const folder = run?.path ?? settings.out ?? defaultParent // checked before the inspection, which can take minutes
  requireWritable(folder, 'the run cannot be written to', 'choose a folder with --out')
  let lock = resumed && lockFolder(resumed.run.path)
  try {
    const prepared = await prepare(
      { settings, ...(resumed && { resumed }) },
      resumed?.run.path ?? settings.out,
      runOptions.limits,
      reporter,
    )
    try {
      lock ??= lockFolder(prepared.folder)
      run ??= createRunFolder(prepared.folder, configOf(settings, namesOf(prepared.split)))
      const steps = settings.numberOfSteps
      let state: 'finished' | 'stopped' = 'stopped'
      let outcome: TrainingOutcome | undefined
      try {
        outcome = await trainPrepared(prepared, run, settings, runOptions, reporter)
        state = 'finished'
      } finally {
        const loraPath = savedLora(run, step)
        const lora = loraPath === undefined ? {} : { loraPath }
        const seconds = secondsSoFar()
        await reporter.emit({ type: 'done', state, step, steps, folder: run, ...lora, ...outcome, seconds })
      }
      return { folder: run, loraPath: run.lora, steps: step, ...outcome, seconds: secondsSoFar() }
    } finally {
      await prepared.close()
    }
  } catch (error) {
    if (!(error instanceof Interrupted) || error.hint !== undefined) throw error
    const message = run ? stoppedMessage(run, step, settings.numberOfSteps) : 'stopped before training began'
    throw new Interrupted(
      error.message === 'stopped' ? message : error.message,
      run && { hint: resumeCommand(run.path) },
    )
  } finally {
    lock?.release()
  }
}

type Prepared = {
  source: Source
  dataset: Dataset
  /** Of a resumed run, under the fingerprint that it was started with. */
  base: BaseModel
  renderer: RendererName
  /** Of a resumed run: how it was before. */
  previous: PreviewConditions | undefined
  backend: string
  cache: Cache
  split: SplitData
  validation: ValidationClip[]
  prompts: string[]
  /** As in the settings, or decided by the memory of the machine. */
  recompute: Checkpointing
  folder: string
  close(): Promise<void>
}

/** Finds everything that can be wrong with the data, the model or the machine, before the first byte is written. */
async function prepare(
  request: RunRequest,
  out: string | undefined,
  limits: Limits = defaultLimits,
  reporter: Reporter<TrainEvent>,
): Promise<Prepared> {
  const { settings, resumed } = request
  const { base, renderer, previous } = prepareBase(request)
  let source: Source | undefined
  let clips: ClipStore | undefined
  let backend: BackendLease | undefined
  let split: SplitData | undefined
  const close = async () => {
    backend?.release()
    base.close()
    await split?.close()
    await clips?.close()
    await source?.close()
  }
  try {
    const options = { limits, signal: reporter.signal }
    const opened = await withParameter('training_data_url', () => openSource(settings.trainingDataUrl, options))
    source = opened
    clips = await openClipStore()
    const compared = new Map<string, ComparedPair>()
    const onDataset = (dataset: Dataset) => reporter.emit({ type: 'dataset', dataset })
    const stores = { clips, compared, onDataset }
    const dataset = await withParameter('training_data_url', () =>
      inspectForTraining(opened, settings, stores, reporter),
    )
    split = await splitData({ dataset, clips, compared }, settings, resumed?.heldOut, { limits, reporter })
    reporter.info(describeBase(base))
    explainRenderer(base, settings.renderer, reporter)
    const onCut = (reference: string) =>
      reporter.info(`${shownReference(reference)}: the previews use the first ${settings.audioDurationSeconds} s`)
    const given = await readValidationClips(settings, { ...options, onCut })
    for (const [i, { reference }] of given.entries())
      warnOfSilence(settings.validation[i]?.referenceAudioUrl as string, reference, reporter)
    if (given.some(({ prompt }) => prompt === '')) warnOfMissingPrompt(split, settings, reporter)
    const validation = [...given, ...heldOutClips(split, settings.holdoutPreviews)]
    if (validation.length > 0)
      adviseGuidance(base, { cfgFlag: '--preview-cfg', cfg: settings.previewCfg, ...settings }, reporter)
    const prompts = validation.map(({ prompt }) => prompt)
    if (validation.length > 0) prompts.push(settings.validationNegativePrompt)
    const captions = [...split.trainingCaptions, ...split.heldOutPairs.map(({ caption }) => caption)]
    const texts = new Set([...captions, ...prompts])
    const cache = openCache(undefined, reporter.warn)
    const unknownTexts = requireTextEncoderFor(base, texts, cache)
    backend = await leaseBackend(settings.backend, reporter)
    const folder = out ?? defaultFolder(dataset)
    const cached = cacheObstacle() === undefined ? { clips: 2 * clipsOf(split), texts: texts.size } : noneCached
    const temporary = clips.bytes() + (settings.holdoutData === undefined ? 0 : split.heldOut.clips.bytes())
    const size = { ...settings, ...cached, unknownTexts, previews: validation.length, temporary }
    const recompute = await checkResources(base, size, folder, reporter)
    return {
      ...{ source, dataset, base, renderer, previous, backend: backend.name },
      ...{ cache, split, validation, prompts, recompute, folder, close },
    }
  } catch (error) {
    await close()
    throw error
  }
}

/**
 * Opens the base and chooses the renderer: before the data, which can take minutes to download and inspect.
 * @throws UserError for a base that cannot be used, is not that of the resumed run, lacks the vocoder that is asked for, or
 *   has no layer that a target module names.
 */
function prepareBase({ settings, resumed }: RunRequest): Pick<Prepared, 'base' | 'renderer' | 'previous'> {
  const base = openBase(settings)
  try {
    const renderer = chooseRenderer(base, settings.renderer)
    const layers = adaptedLayers(base.config.transformer.num_layers).map((name) => ({ name }))
    matchTargets(layers, settings.targetModules)
    // that of a base without a vocoder, if the vocoder was added since
    const fingerprint = resumed ? requireSameBase(resumed.run.state, base) : base.fingerprint
    const previous = resumed && {
      settings: resumed.previousSettings,
      renderer:
        fingerprint === base.fingerprint ? namedRenderer(base, resumed.previousSettings.renderer) : 'griffin-lim',
    }
    return { base: { ...base, fingerprint }, renderer, previous }
  } catch (error) {
    base.close()
    throw error
  }
}

/** What the run has rendered with. A base that has lost its vocoder since may be used with another renderer. */
const namedRenderer = (base: BaseModel, choice: TrainSettings['renderer']) =>
  choice === 'auto' ? chooseRenderer(base, choice) : choice

function warnOfMissingPrompt({ trainingCaptions }: SplitData, { triggerPhrase }: TrainSettings, reporter: Reporter) {
  const example = exampleCaption(trainingCaptions, triggerPhrase)
  if (example !== undefined)
    reporter.warn(
      'the pairs have captions, but a preview has an empty prompt',
      `add --validation-prompt with such a caption, for example ${JSON.stringify(example)}`,
    )
}

const noneCached = { clips: 0, texts: 0 }

const clipsOf = ({ training, heldOut }: SplitData) => training.names.length + heldOut.names.length

const namesOf = ({ heldOutPairs }: SplitData) => heldOutPairs.map(({ name }) => name)

/** Encodes the data, loads the model and trains. */
async function trainPrepared(
  { dataset, base, renderer, previous, backend, cache, split, validation, prompts, recompute }: Prepared,
  run: RunFolder,
  settings: TrainSettings,
  { reconstructions = 0 }: TrainRunOptions,
  reporter: Reporter<TrainEvent>,
): Promise<TrainingOutcome> {
  await reporter.emit({
    type: 'run',
    folder: run,
    settings,
    base: {
      path: base.checkpoint.path,
      isBundled: base.isBundled,
      fingerprint: base.fingerprint,
      release: base.release,
      blocks: base.config.transformer.num_layers,
      renderer,
    },
    backend,
    validation,
    heldOut: namesOf(split),
  })
  const debug = settings.debugDataset ? createDebugDataset(run.debugDataset, dataset) : undefined
  const reconstructed: { name: string; target: ValidationClip['reference'] }[] = []
  let encoded: EncodedDataset
  try {
    encoded = await encodeDataset(
      {
        training: split.training,
        heldOut: split.heldOut,
        seconds: settings.audioDurationSeconds,
        base,
        cache,
        references: validation.map(({ reference }) => reference),
        prompts,
        onClip: async (pair) => {
          debug?.add(pair)
          if (reconstructed.length < reconstructions) reconstructed.push(pair)
          await reporter.emit({ type: 'clip', pair })
        },
      },
      reporter,
    )
    await debug?.finish()
  } finally {
    await debug?.close()
  }
  await reconstructTargets(base, reconstructed, { pairs: encoded.pairs, renderer }, reporter)

  const model = loadModel(base, { recompute }, reporter)
  const previews = createPreviewRenderer({ base, model, run, settings }, { validation, ...encoded }, reporter)
  const drawer =
    settings.windows === 'random' ? openClipDrawer(base, split.training.clips, datasetOptionsOf(settings)) : undefined
  try {
    return await runTraining(
      {
        ...{ base, renderer, model, ...encoded, drawClip: drawer?.draw, run, settings, previous, previews },
        exampleCaption: exampleCaption(split.trainingCaptions, settings.triggerPhrase),
      },
      reporter,
    )
  } finally {
    drawer?.close()
    previews.close()
    detachLora(model)
    disposeTransformer(model)
  }
}

const configOf = (settings: TrainSettings, heldOut: readonly string[]): RunConfig => ({
  tool: 'ltx-a2a',
  training_type: 'audio_to_audio_lora',
  trigger_phrase: settings.triggerPhrase,
  parameters: jobOf(settings),
  ...(holdsOut(settings) && { held_out: heldOut }),
})

/** Undefined where the run holds out none, or its config was changed by hand. */
const heldOutOf = ({ held_out }: RunConfig) => (Array.isArray(held_out) ? held_out.map(String) : undefined)

const defaultParent = 'runs'

/** `runs/<dataset>-20260131-235959`, in local time. */
function defaultFolder({ name }: Dataset, now = new Date()): string {
  const twoDigits = (part: number) => String(part).padStart(2, '0')
  const date = [now.getFullYear(), twoDigits(now.getMonth() + 1), twoDigits(now.getDate())].join('')
  const time = [now.getHours(), now.getMinutes(), now.getSeconds()].map(twoDigits).join('')
  return join(defaultParent, `${name}-${date}-${time}`)
}
