/** `ltx-a2a train`: a zip of pairs becomes a LoRA that can be heard. */
import { join } from 'node:path'
import { jobOf, type TrainSettings } from '../config/train-settings.ts'
import { assertTrainable, type Dataset, inspectDataset } from '../dataset/dataset.ts'
import { openSource, type Source } from '../dataset/source.ts'
import { openCache } from '../encode/cache.ts'
import { startBackend } from '../engine/backend.ts'
import { type BaseModel, openBaseModel } from '../model/base-model.ts'
import { loadTransformer, type Transformer } from '../model/transformer/transformer.ts'
import type { Terminal } from '../report/terminal.ts'
import { createRunFolder, type RunConfig, type RunFolder } from '../train/run-folder.ts'
import { createDebugDataset } from './debug-dataset.ts'
import { encodeDataset } from './encode-dataset.ts'
import { type Interruption, watchInterruption } from './interruption.ts'
import { trainLora } from './train-lora.ts'
import { trainingSummary } from './training-summary.ts'
import { createValidation, readValidationClips } from './validation.ts'

/**
 * Everything that can be wrong with the data, the model or the folder is found before the first byte is written.
 * @param begun the folder of a run to go on with; without one a new run begins.
 * @throws UserError with what the person can change; Interrupted after Ctrl-C, when the run is saved.
 */
export async function runTrain(settings: TrainSettings, terminal: Terminal, begun?: RunFolder): Promise<void> {
  const started = performance.now()
  const interruption = watchInterruption(() => terminal.note('stopping after this step; Ctrl-C again leaves at once'))
  const source = await openSource(settings.trainingDataUrl)
  try {
    const dataset = await lookThrough(source, settings, terminal, interruption)
    const base = openBaseModel(settings)
    describeBase(base, terminal)
    const clips = await readValidationClips(settings)
    const backend = await startBackend(settings.backend)
    terminal.note(`Backend: ${backend.name}, ${backend.description}`)
    const run = begun ?? createRunFolder(settings.out ?? defaultFolder(dataset), configOf(settings))

    const debug = settings.debugDataset ? createDebugDataset(run.debugDataset, dataset) : undefined
    const prompts = clips.length > 0 ? [...clips.map(({ prompt }) => prompt), settings.validationNegativePrompt] : []
    const encodeOptions = {
      source,
      dataset,
      base,
      cache: openCache(),
      clips,
      prompts,
      ...(debug && { onClip: debug.add }),
    }
    const encoded = await encodeDataset(encodeOptions, terminal, interruption)
    await debug?.finish()

    const model = loadModel(base, terminal)
    const validation = createValidation(
      { base, model, run, settings },
      { clips, ...encoded },
      terminal,
      interruption.check,
    )
    await trainLora({ base, model, pairs: encoded.pairs, run, settings, validation }, terminal, interruption)
    validation.writeAll()
    terminal.note(trainingSummary(run, settings, (performance.now() - started) / 1000))
  } finally {
    interruption.release()
    await source.close()
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
    onProgress: ({ done, total }) => {
      stage.update((done / total) * source.paths.length)
      interruption.check()
    },
  })
  const { used, pairs, stretched, trimmed, skipped } = dataset.counts
  stage.done(`${used} of ${pairs} pairs usable: ${stretched} stretched, ${trimmed} trimmed, ${skipped} skipped`)
  assertTrainable(dataset)
  for (const { message, hint } of dataset.problems) terminal.warn(hint ? `${message} (${hint})` : message)
  return dataset
}

export function describeBase({ isBundled, checkpoint, config }: BaseModel, terminal: Terminal) {
  if (isBundled)
    terminal.note('Base: the small bundled one, random weights, for trying the tool; --model chooses a real one')
  else terminal.note(`Base: ${checkpoint.path}, ${config.transformer.num_layers} blocks`)
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
