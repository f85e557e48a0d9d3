/** The folder of a run: the paths of its files, and the check that a folder is a run. */
import {
  appendFileSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { openSafetensors } from '../formats/safetensors.ts'
import { UserError } from '../platform/errors.ts'
import { isLeftover, replaceFile, replaceJson } from '../platform/files.ts'
import { lockFileName } from '../platform/lock.ts'

export type RunFolder = {
  path: string
  /** The trained LoRA; of a run that was stopped, the LoRA of its last step. */
  lora: string
  /** With held-out pairs: the LoRA with the lowest held-out loss so far. Its metadata names its step. */
  best: string
  /** The parameters of the run. Its presence marks the folder as a run. */
  config: string
  /** One JSON object per step. */
  metrics: string
  /** Everything that is needed to resume. */
  state: string
  /** The latest previews, one after another. */
  audio: string
  debugDataset: string
  /** The page of the run, and the verdicts on its previews as JSON. */
  report: string
  verdicts: string
  /** A folder of event files. */
  tensorboard: string
  checkpoint(step: number): string
  /** The moving average of the LoRA in the file `lora`, beside it. */
  average(lora: string): string
  preview(number: number, step: number): string
  /** With held-out pairs: a preview with `best`. */
  bestPreview(number: number): string
}

export type RunConfig = {
  tool: 'ltx-a2a'
  training_type: 'audio_to_audio_lora'
  trigger_phrase: string
  /** By their names in a job file. */
  parameters: Readonly<Record<string, unknown>>
  /** The names of the pairs that are held out. A resumed run holds out the same. */
  held_out?: readonly string[]
  /** Parameters that were changed when the run was resumed, oldest first. */
  changes?: RunChange[]
}

export type RunChange = { after_step: number; changed: Readonly<Record<string, { from: unknown; to: unknown }>> }

/**
 * Creates the folder and writes the config of the run into it.
 * @throws UserError when the folder already holds something.
 */
export function createRunFolder(path: string, config: RunConfig): RunFolder {
  requireNewRunFolder(path)
  const run = layout(path)
  mkdirSync(path, { recursive: true })
  replaceJson(run.config, config)
  return run
}

/**
 * Checks that a run can be created in a folder, which need not exist.
 * @throws UserError when it already holds something.
 */
export function requireNewRunFolder(path: string) {
  const run = layout(path)
  const found = existsSync(path) ? statSync(path) : undefined
  if (found && !found.isDirectory()) throw new UserError(`${path} is a file`, { hint: 'choose a folder with --out' })
  if (found && readdirSync(path).some(isContent) && !isUnbegun(run))
    throw isRun(run)
      ? new UserError(`${path} already holds a run`, {
          hint: `ltx-a2a train --resume ${path}, or choose another --out`,
        })
      : new UserError(`${path} holds files that are not a run of ltx-a2a`, {
          hint: 'choose an empty folder with --out',
        })
}

/**
 * The folder and config of an existing run.
 * @param path the run's folder, or `latest` for the one in `runs/` that was written last.
 * @throws UserError when there is none.
 */
export function openRunFolder(path: string): { run: RunFolder; config: RunConfig } {
  const run = layout(path === 'latest' ? latestRun() : path)
  if (!isRun(run))
    throw new UserError(`${path} is not a run of ltx-a2a`, { hint: 'name a folder that train has written' })
  const config = readConfig(run) as RunConfig
  if (typeof config.parameters !== 'object' || config.parameters === null)
    throw new UserError(`${run.config} names no parameters`, { hint: 'start a new run' })
  return { run, config }
}

/** Records a change of parameters in the config, together with all parameters as they are now. */
export function recordChange(run: RunFolder, change: RunChange, parameters: RunConfig['parameters']) {
  const config = readConfig(run) as RunConfig
  replaceJson(run.config, {
    ...config,
    parameters,
    changes: [...(Array.isArray(config.changes) ? config.changes : []), change],
  })
}

/** Whether a folder holds a run that goes on with `resume`. One that has not begun is started again. */
export function hasBegun(path: string): boolean {
  const run = layout(path)
  return isRun(run) && !isUnbegun(run)
}

/**
 * Tells a run where its inputs are now. The run must be locked, or in no process.
 * @param moved paths by the names of their parameters in a job file, and the references of its previews.
 */
export function moveInputs(path: string, moved: Readonly<Record<string, unknown>>, references: readonly string[] = []) {
  const { run, config } = openRunFolder(path)
  const { validation } = config.parameters
  const parameters = {
    ...config.parameters,
    ...moved,
    ...(Array.isArray(validation) && {
      validation: validation.map((entry, i) => ({
        ...entry,
        reference_audio_url: references[i] ?? entry.reference_audio_url,
      })),
    }),
  }
  if (JSON.stringify(parameters) !== JSON.stringify(config.parameters))
    replaceJson(run.config, { ...config, parameters })
}

/** Removes unfinished files of a process that was killed. The run must be locked. */
export function removeLeftovers(run: RunFolder) {
  for (const folder of [run.path, dirname(run.checkpoint(0)), dirname(run.preview(1, 0))])
    if (existsSync(folder))
      for (const name of readdirSync(folder).filter(isLeftover)) rmSync(join(folder, name), { force: true })
}

export type SavedCheckpoint = { step: number; path: string }

/** The checkpoints of a run under their present and their former name, by step. */
export function savedCheckpoints(run: RunFolder): SavedCheckpoint[] {
  const folder = dirname(run.checkpoint(0))
  const entries = existsSync(folder) ? readdirSync(folder, { withFileTypes: true }) : []
  return entries
    .flatMap((entry) => {
      const [, step] = checkpointName.exec(entry.name) ?? []
      return step !== undefined && entry.isFile() ? [{ step: Number(step), path: join(folder, entry.name) }] : []
    })
    .sort((a, b) => a.step - b.step)
}

/** The LoRA of a step: `lora.safetensors` if it is of this step, or a checkpoint. Undefined where it was not saved, or was removed. */
export const savedLora = (run: RunFolder, step: number): string | undefined =>
  originOf(run.lora)?.step === step ? run.lora : savedCheckpoints(run).findLast((saved) => saved.step === step)?.path

/** What a LoRA of this tool is, from its metadata: the step it is of, and whether it is a moving average. Undefined where there is none that can be read. */
export function originOf(lora: string): { step: number; isAverage: boolean } | undefined {
  if (!existsSync(lora)) return undefined
  try {
    const file = openSafetensors(lora)
    file.close()
    return { step: Number(file.metadata.steps), isAverage: file.metadata.ema_decay !== undefined }
  } catch (error) {
    if (error instanceof UserError) return undefined
    throw error
  }
}

/**
 * Removes all but the last checkpoints, and a copy of the newest one under its former name.
 * @param step the step of the newest checkpoint. Later ones will be written again, and stay until then.
 */
export function removeOldCheckpoints(run: RunFolder, keep: number | 'all', step: number) {
  const saved = savedCheckpoints(run).filter((checkpoint) => checkpoint.step <= step)
  const kept = [...new Set(saved.map(({ step }) => step))].slice(keep === 'all' ? 0 : -keep)
  const rewritten = (checkpoint: SavedCheckpoint) =>
    checkpoint.step === step && checkpoint.path !== run.checkpoint(step) && existsSync(run.checkpoint(step))
  for (const checkpoint of saved)
    if (!kept.includes(checkpoint.step) || rewritten(checkpoint))
      for (const path of [run.average(checkpoint.path), checkpoint.path]) tryRemove(path)
}

/** A file that another program has open may not be removable: it is removed at the next checkpoint. */
function tryRemove(path: string) {
  try {
    rmSync(path, { force: true })
  } catch {}
}

/**
 * Moves the previews into a folder beside those that are rendered from now on.
 * @param step the step that the run has done.
 * @returns the folder; undefined where there are no previews.
 */
export function setPreviewsAside(run: RunFolder, step: number): string | undefined {
  const folder = dirname(run.preview(1, 0))
  const names = existsSync(folder) ? readdirSync(folder).filter((name) => /^preview-.*\.wav$/.test(name)) : []
  if (names.length === 0) return undefined
  const aside = unusedPath(join(folder, `until-${digits(step)}`))
  mkdirSync(aside)
  for (const name of names) renameSync(join(folder, name), join(aside, name))
  return aside
}

/** The path, or the same with a number. */
function unusedPath(path: string): string {
  for (let number = 1; ; number++) {
    const candidate = number === 1 ? path : `${path}-${number}`
    if (!existsSync(candidate)) return candidate
  }
}

/** Removes the metrics of steps after `step`, which will be computed again. */
export function truncateMetrics({ metrics }: RunFolder, step: number) {
  if (!existsSync(metrics)) return
  const lines = readFileSync(metrics, 'utf8').split('\n').filter(Boolean)
  const kept = lines.filter((line) => isUpTo(line, step))
  replaceFile(metrics, [kept.map((line) => `${line}\n`).join('')])
}

/** Replaces the last line of the metrics, atomically. */
export function replaceLastMetrics(run: RunFolder, line: object) {
  const lines = [...readMetrics(run).slice(0, -1), line]
  replaceFile(run.metrics, [lines.map((line) => `${JSON.stringify(line)}\n`).join('')])
}

/** The lines of the metrics, in order. They must be complete. */
export function readMetrics({ metrics }: RunFolder): object[] {
  const lines = existsSync(metrics) ? readFileSync(metrics, 'utf8').split('\n').filter(Boolean) : []
  return lines.map((line) => JSON.parse(line) as object)
}

/** The losses of the steps in lines of the metrics. */
export const lossesOf = (lines: readonly object[]): number[] =>
  lines.flatMap((line) => {
    const { loss } = line as { loss?: unknown }
    return typeof loss === 'number' ? [loss] : []
  })

export const appendMetrics = ({ metrics }: RunFolder, line: object) =>
  appendFileSync(metrics, `${JSON.stringify(line)}\n`)

/** Flushes the metrics to disk: no state may be newer than they are. */
export function syncMetrics({ metrics }: RunFolder) {
  const fd = openSync(metrics, 'a')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

const layout = (path: string): RunFolder => ({
  path,
  lora: join(path, 'lora.safetensors'),
  best: join(path, 'best.safetensors'),
  config: join(path, 'config.json'),
  metrics: join(path, 'metrics.jsonl'),
  state: join(path, 'state.safetensors'),
  audio: join(path, 'audio.wav'),
  debugDataset: join(path, 'debug_dataset.zip'),
  report: join(path, 'report.html'),
  verdicts: join(path, 'verdicts.json'),
  tensorboard: join(path, 'tensorboard'),
  checkpoint: (step) => join(path, 'checkpoints', `lora_weights_step_${digits(step)}.safetensors`),
  average: (lora) => lora.replace(/\.safetensors$/, '-ema.safetensors'),
  preview: (number, step) => join(path, 'previews', `preview-${number}-${digits(step)}.wav`),
  bestPreview: (number) => join(path, 'previews', `preview-${number}-best.wav`),
})

/** Everything but the lock and unfinished files of a killed process. */
export const isContent = (name: string) => name !== lockFileName && !isLeftover(name)

/** The name that the LTX-2 trainer gives its checkpoints, and the former one, `lora-01000.safetensors`. */
const checkpointName = /^lora(?:_weights_step_|-)(\d{5,})\.safetensors$/

export const isCheckpoint = (name: string) => checkpointName.test(name)

const digits = (step: number) => String(step).padStart(5, '0')

/** A run that ended before its first step, for example because the model did not load, is started again. */
const isUnbegun = (run: RunFolder) => isRun(run) && !existsSync(run.metrics)

const isRun = (run: RunFolder) => (readConfig(run) as Partial<RunConfig> | undefined)?.tool === 'ltx-a2a'

/** A config is a page of parameters and a line for every change. */
const largestConfigBytes = 10_000_000

function readConfig({ config }: RunFolder): unknown {
  try {
    return statSync(config).size > largestConfigBytes ? undefined : JSON.parse(readFileSync(config, 'utf8'))
  } catch {
    return undefined // missing or broken: not a run
  }
}

function latestRun(): string {
  const runs = existsSync('runs') ? readdirSync('runs').map((name) => layout(join('runs', name))) : []
  const written = ({ state, config }: RunFolder) => statSync(existsSync(state) ? state : config).mtimeMs
  const [latest] = runs.filter(isRun).sort((a, b) => written(b) - written(a))
  if (!latest) throw new UserError('there is no run in the folder runs', { hint: 'name the run: --resume <folder>' })
  return latest.path
}

function isUpTo(line: string, step: number): boolean {
  try {
    return (JSON.parse(line) as { step: number }).step <= step
  } catch {
    return false // cut off by a crash
  }
}
