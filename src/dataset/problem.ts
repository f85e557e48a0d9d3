/** What is wrong with a dataset, collected as data so that everything is shown together. Errors stop a training, the others do not. */

import { UserError } from '../platform/errors.ts'
import { countText } from '../platform/text.ts'

export type Severity = 'error' | 'warning' | 'hint'

export type Problem = {
  severity: Severity
  /** One sentence with the concrete name and number. */
  message: string
  /** What to do about it. */
  hint?: string
  /** The path inside the source that it is about. */
  file?: string
  /** The name of the pair that it is about. */
  pair?: string
}

export const countProblems = (problems: readonly Problem[], severity: Severity) =>
  problems.filter((problem) => problem.severity === severity).length

/** What `UserError` says of one file, as a problem; any other error is ours and thrown on. */
export function problemFrom(error: unknown, about: { file?: string; pair?: string }): Problem {
  if (!(error instanceof UserError)) throw error
  return { severity: 'error', message: error.message, ...(error.hint ? { hint: error.hint } : {}), ...about }
}

/** Something that could be better with one or more pairs. Nothing of it stops a training; what does is a problem. */
export type Finding = {
  /** A word for machines: `out-of-sync`. */
  kind: string
  /** A warning spoils the result; a hint improves it. */
  severity: 'warning' | 'hint'
  /** A few words: "Out of sync". */
  what: string
  hint: string
  /** In the order of the dataset, with the number behind it where there is one. */
  pairs: { name: string; detail?: string }[]
}

/** The finding, unless no pair has it. */
export const findingIn = (pairs: Finding['pairs'], finding: Omit<Finding, 'pairs'>): Finding[] =>
  pairs.length > 0 ? [{ ...finding, pairs }] : []

/** "Out of sync, 2 pairs: drums-2 +47 ms, guitar −21 ms", with at most `most` names. */
export function findingText({ what, pairs }: Finding, most = Number.POSITIVE_INFINITY): string {
  const names = pairs.slice(0, most).map(({ name, detail }) => (detail ? `${name} ${detail}` : name))
  const others = pairs.length > most ? [`${pairs.length - most} more`] : []
  return `${what}, ${countText(pairs.length, 'pair')}: ${[...names, ...others].join(', ')}`
}
