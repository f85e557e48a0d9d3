/** The inspection of an uploaded dataset, before it is queued. One at a time: it decodes every recording. The last ones are kept. */
import { stat } from 'node:fs/promises'
import pLimit from 'p-limit'
import { camelCased, type Parameters } from '../../config/parameter.ts'
import { resolveInspectSettings } from '../../config/settings.ts'
import {
  type Dataset,
  datasetOf,
  datasetOptionsOf,
  measureSource,
  type SourceInspection,
} from '../../dataset/dataset.ts'
import type { DatasetOptions } from '../../dataset/fit-plan.ts'
import { openSource } from '../../dataset/source.ts'
import { withoutCommands, withoutFolders } from '../../platform/client-text.ts'
import { Interrupted, UserError } from '../../platform/errors.ts'
import { countText } from '../../platform/text.ts'
import { datasetSections } from '../../report/dataset-page.ts'
import { html, type Markup } from '../../report/page/page.ts'
import { withLabels } from './labels.ts'
import { placeName } from './page-files.ts'

const longestSeconds = 600

/** More than this wait for nothing: the first ones will take minutes. */
const mostWaiting = 8

/** Inspections of files that have not changed, for settings that have been tried before. */
const mostKept = 4

export type Inspection = {
  summary: string
  markup: Markup
  /** Whether a training on it would start. */
  isUsable: boolean
}

export type InspectionControl = {
  signal: AbortSignal
  /** Called after each pair. */
  onProgress: (done: number, total: number) => void
}

/** @param parameters those that the form has. */
export function createInspector(parameters: Parameters) {
  const measure = createKeptMeasurement()
  const names = Object.keys(parameters)
  /**
   * @param path of the dataset on this machine; messages show its name only.
   * @param settings parameters by their names in a job file.
   * @throws UserError for a dataset that cannot be opened, wrong settings, and too many inspections at once. Interrupted when the signal was aborted.
   */
  return async (
    path: string,
    settings: Readonly<Record<string, unknown>>,
    control: InspectionControl,
  ): Promise<Inspection> => {
    try {
      const { settings: resolved } = resolveInspectSettings({ options: { ...camelCased(settings), data: path } })
      const options = datasetOptionsOf(resolved)
      const dataset = datasetOf(await measure(path, options, control), options.triggerPhrase)
      const { markup } = inspectionReport(withPageHints(dataset, names))
      const isUsable = !dataset.problems.some(({ severity }) => severity === 'error')
      return { summary: summaryOf(dataset), markup: { markup: withLabels(markup, names) }, isUsable }
    } catch (error) {
      if (!(error instanceof UserError)) throw error
      const { message, hint, code } = error
      throw new UserError(withLabels(withoutFolders(message.replaceAll(path, placeName(path))), names), {
        hint: (hint && withoutCommands(withLabels(hint, names))) || undefined,
        code,
      })
    }
  }
}

/** Measures one dataset at a time, and keeps the last results: the trigger phrase changes none of them. */
function createKeptMeasurement() {
  const limit = pLimit(1)
  const kept = new Map<string, SourceInspection>()
  return async (path: string, options: DatasetOptions, { signal, onProgress }: InspectionControl) => {
    if (limit.pendingCount >= mostWaiting)
      throw new UserError('too many datasets are being inspected; try again later', { code: 'machine_error' })
    return limit(async () => {
      if (signal.aborted) throw new Interrupted('stopped') // while it waited
      const key = await keyOf(path, options)
      const before = key === undefined ? undefined : kept.get(key)
      const inspection = before ?? (await measureDataset(path, options, { signal, onProgress }))
      if (key === undefined) return inspection
      kept.delete(key)
      kept.set(key, inspection) // as the newest
      if (kept.size > mostKept) kept.delete(kept.keys().next().value as string)
      return inspection
    })
  }
}

/** Undefined for a folder, whose files can change while it does not. */
async function keyOf(path: string, { triggerPhrase: _, ...options }: DatasetOptions): Promise<string | undefined> {
  const found = await stat(path).catch(() => undefined)
  return found?.isFile() ? JSON.stringify([path, found.size, found.mtimeMs, options]) : undefined
}

async function measureDataset(path: string, options: DatasetOptions, { signal, onProgress }: InspectionControl) {
  const stop = AbortSignal.any([signal, AbortSignal.timeout(1000 * longestSeconds)])
  const throwIfStopped = () => {
    if (stop.aborted) throw new Interrupted('stopped')
  }
  const source = await openSource(path, { signal: stop })
  try {
    return await measureSource(source, options, {
      analyzeSound: true,
      onComparison: throwIfStopped,
      onProgress: ({ done, total }) => {
        throwIfStopped()
        onProgress(done, total)
      },
    })
  } finally {
    await source.close()
  }
}

const summaryOf = ({ counts, options }: Dataset) =>
  `${counts.used} of ${countText(counts.pairs, 'pair')} would be used, in clips of ${options.seconds} s.`

/** Hints say what can be done on the page. */
function withPageHints(dataset: Dataset, names: readonly string[]): Dataset {
  const inPageTerms = <T extends { hint?: string | undefined }>(one: T): T =>
    one.hint === undefined ? one : { ...one, hint: withoutCommands(withLabels(one.hint, names)) || undefined }
  const { problems, advice } = dataset
  return {
    ...dataset,
    problems: problems.map(inPageTerms),
    advice: advice && { ...advice, findings: advice.findings.map(inPageTerms) },
  }
}

/** The sections of the page of a dataset; the table of the pairs is folded. */
function inspectionReport(dataset: Dataset): Markup {
  const sections = datasetSections(dataset).filter((section) => section !== undefined)
  const pairs = dataset.pairs.length > 0 ? sections.at(-1) : undefined
  const { recommendedSeconds } = dataset.advice ?? {}
  return html`${
    typeof recommendedSeconds === 'number' &&
    recommendedSeconds !== dataset.options.seconds &&
    html`<p><button type="button" data-set-field="audio_duration_seconds" data-value="${recommendedSeconds}">Use clips of ${recommendedSeconds} s</button></p>`
  }${pairs ? sections.slice(0, -1) : sections}${pairs && html`<details><summary>All pairs</summary>${pairs}</details>`}`
}
