/** The inspection of the data of a run, and what it found as messages. */
import type { TrainSettings } from '../config/settings.ts'
import {
  assertTrainable,
  type Dataset,
  datasetOptionsOf,
  type InspectSourceOptions,
  inspectSource,
} from '../dataset/dataset.ts'
import { findingText, type Severity } from '../dataset/problem.ts'
import { createComparisonStage } from '../dataset/relations.ts'
import type { Source } from '../dataset/source.ts'
import type { Reporter } from '../platform/progress.ts'
import { countText } from '../platform/text.ts'

const labels = { training: 'Inspecting the dataset', 'held-out': 'Inspecting the held-out pairs' }

/**
 * Inspects data that a run uses, and reports everything that is wrong with it at once. Hints are about training, so there are none on held-out pairs.
 * @param options.onDataset called before the problems are reported.
 * @throws UserError when no pair can be used.
 */
export async function inspectForTraining(
  source: Source,
  settings: TrainSettings,
  {
    onDataset,
    ...stores
  }: Pick<InspectSourceOptions, 'clips' | 'compared'> & { onDataset?: (dataset: Dataset) => Promise<void> },
  reporter: Reporter,
  role: keyof typeof labels = 'training',
): Promise<Dataset> {
  const comparison = createComparisonStage(reporter)
  const stage = reporter.stage(labels[role], source.paths.length, 'files')
  const dataset = await inspectSource(source, datasetOptionsOf(settings), {
    ...stores,
    analyzeSound: true,
    onComparison: comparison.onProgress,
    onProgress: ({ done, total }) => {
      stage.update((done / total) * source.paths.length)
      reporter.throwIfAborted()
    },
  })
  comparison.finish()
  const { used, pairs, stretched, trimmed, skipped, clips } = dataset.counts
  const inClips = clips > used ? `, ${clips} clips` : ''
  const longer = settings.windows === 'random' ? 'longer than a clip' : 'trimmed'
  stage.finish(
    `${used} of ${pairs} pairs usable: ${stretched} stretched, ${trimmed} ${longer}, ${skipped} skipped${inClips}`,
  )
  await onDataset?.(dataset)
  reportInspection(role === 'training' ? dataset : withoutHints(dataset), reporter)
  assertTrainable(dataset)
  return dataset
}

function withoutHints({ problems, advice }: Dataset): Pick<Dataset, 'problems' | 'advice'> {
  const isWarning = ({ severity }: { severity: Severity }) => severity === 'warning'
  return {
    problems: problems.filter(isWarning),
    ...(advice && { advice: { ...advice, findings: advice.findings.filter(isWarning) } }),
  }
}

/** How many names a warning lists; the report has all. */
const mostNames = 4

/** Reports all problems but errors, which `assertTrainable` throws together, all findings that are warnings, and how many hints there are besides. */
export function reportInspection({ problems, advice }: Pick<Dataset, 'problems' | 'advice'>, reporter: Reporter) {
  for (const { severity, message, hint } of problems) {
    if (severity === 'warning') reporter.warn(message, hint)
    if (severity === 'hint') reporter.info(`hint: ${message}${hint === undefined ? '' : ` (${hint})`}`)
  }
  const findings = advice?.findings ?? []
  const warnings = findings.filter(({ severity }) => severity === 'warning')
  for (const finding of warnings) reporter.warn(findingText(finding, mostNames), finding.hint)
  const hints = findings.length - warnings.length
  if (hints > 0) reporter.info(`ltx-a2a inspect-dataset shows ${countText(hints, 'more hint')} on this dataset`)
}
