/** What the inspection of the dataset found, as messages of a run. */
import type { Dataset } from '../dataset/dataset.ts'
import { findingText } from '../dataset/problem.ts'
import type { Reporter } from '../platform/progress.ts'
import { countText } from '../platform/text.ts'

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
