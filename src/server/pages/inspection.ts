/** The inspection of an uploaded dataset, before it is queued. One at a time: it decodes every recording. */
import pLimit from 'p-limit'
import { camelCased, type Parameters } from '../../config/parameter.ts'
import type { InspectOptions } from '../../config/settings.ts'
import { type Dataset, inspectDataset } from '../../dataset/dataset.ts'
import { withoutCommands, withoutFolders } from '../../platform/client-text.ts'
import { UserError } from '../../platform/errors.ts'
import { countText } from '../../platform/text.ts'
import { datasetSections } from '../../report/dataset-page.ts'
import { html, type Markup } from '../../report/page/page.ts'
import { withLabels } from './labels.ts'
import { placeName } from './page-files.ts'

const longestSeconds = 600

/** More than this wait for nothing: the first ones will take minutes. */
const mostWaiting = 8

export type Inspection = {
  summary: string
  markup: Markup
  /** Whether a training on it would start. */
  isUsable: boolean
}

/** @param names of the parameters that the form has. */
export function createInspector(parameters: Parameters) {
  const limit = pLimit(1)
  const names = Object.keys(parameters)
  /**
   * @param path of the dataset on this machine; messages show its name only.
   * @param settings parameters by their names in a job file.
   * @throws UserError for a dataset that cannot be opened, wrong settings, and too many inspections at once. Interrupted when the signal was aborted.
   */
  return async (
    path: string,
    settings: Readonly<Record<string, unknown>>,
    signal: AbortSignal,
  ): Promise<Inspection> => {
    if (limit.pendingCount >= mostWaiting)
      throw new UserError('too many datasets are being inspected; try again later', { code: 'machine_error' })
    return limit(async () => {
      const options = { ...camelCased(settings), data: path } as InspectOptions
      try {
        const dataset = await inspectDataset(options, {
          signal: AbortSignal.any([signal, AbortSignal.timeout(1000 * longestSeconds)]),
        })
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
    })
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
