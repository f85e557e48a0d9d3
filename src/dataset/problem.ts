/** What is wrong with a dataset, collected as data so that everything is shown together. Errors stop a training, the others do not. */
import { UserError } from '../errors.ts'

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

export const countOf = (problems: readonly Problem[], severity: Severity) =>
  problems.filter((problem) => problem.severity === severity).length

/** What `UserError` says of one file, as a problem; any other error is ours and thrown on. */
export function problemFrom(error: unknown, about: { file?: string; pair?: string }): Problem {
  if (!(error instanceof UserError)) throw error
  return { severity: 'error', message: error.message, ...(error.hint ? { hint: error.hint } : {}), ...about }
}
