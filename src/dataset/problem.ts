/** What an inspection reports: problems with files, and findings on sound, lengths and captions. They are collected as data, so that all are shown together. */

import { type ErrorCode, type ErrorContext, UserError } from '../platform/errors.ts'
import { countText } from '../platform/text.ts'

export type Severity = 'error' | 'warning' | 'hint'

const severities: readonly Severity[] = ['error', 'warning', 'hint']

/** For sorting: errors first, hints last. */
export const bySeverity = (a: { severity: Severity }, b: { severity: Severity }) =>
  severities.indexOf(a.severity) - severities.indexOf(b.severity)

/** Something wrong with a file or with the dataset as a whole. Only errors prevent a training. */
export type Problem = {
  severity: Severity
  /** One sentence with the concrete name and number. */
  message: string
  /** What to do about it. */
  hint?: string
  /** The path of the file inside the source. */
  file?: string
  /** The name of the pair. */
  pair?: string
  /** As of a `UserError`. */
  code?: ErrorCode
  context?: ErrorContext
}

export const countProblems = (problems: readonly Problem[], severity: Severity) =>
  problems.filter((problem) => problem.severity === severity).length

/** The problem that a UserError describes. @throws any other error, because that is a bug. */
export function problemFrom(error: unknown, about: { file?: string; pair?: string }): Problem {
  if (!(error instanceof UserError)) throw error
  const { message, hint, code } = error
  return { severity: 'error', message, ...(hint && { hint }), ...about, ...(code && { code }) }
}

/** How many problems of one kind are listed. */
const mostOfOneKind = 20

/**
 * At most 20 problems of a kind, then a sentence on how many more there are. Problems are of one kind when they differ only in numbers and in the names of
 * the file and the pair.
 */
export function condenseProblems(problems: readonly Problem[]): Problem[] {
  const kinds = new Map<string, { first: Problem; count: number }>()
  const listed = problems.filter((problem) => {
    const key = `${problem.severity} ${withoutNames(problem)}`
    const kind = kinds.get(key) ?? { first: problem, count: 0 }
    kinds.set(key, kind)
    return ++kind.count <= mostOfOneKind
  })
  const rest = [...kinds.values()].flatMap(({ first, count }): Problem[] =>
    count > mostOfOneKind
      ? [{ severity: first.severity, message: `${count - mostOfOneKind} more like this: ${withoutNames(first)}` }]
      : [],
  )
  return [...listed, ...rest]
}

/** The message with `…` for the names of the file and the pair and for numbers. */
function withoutNames({ message, file, pair }: Problem): string {
  const anyFile = file ? message.replaceAll(file, '…') : message
  const anyPair = pair
    ? anyFile
        .replaceAll(`pair ${pair} `, 'pair … ')
        .replaceAll(`${pair}_start`, '…_start')
        .replaceAll(`${pair}_end`, '…_end')
    : anyFile
  return anyPair.replace(/\b\d+(\.\d+)?\b/g, '…')
}

/** Something that could be better with one or more pairs. Findings do not prevent a training. */
export type Finding = {
  /** An identifier for programs: `out-of-sync`. */
  kind: string
  /** What a warning is about makes the result worse; following a hint makes it better. */
  severity: 'warning' | 'hint'
  /** A few words: "Out of sync". */
  what: string
  hint: string
  /** In the order of the dataset; `detail` is the measured value, where there is one. */
  pairs: { name: string; detail?: string }[]
}

/** A list of the finding, or an empty list when no pair has it. */
export const findingIn = (pairs: Finding['pairs'], finding: Omit<Finding, 'pairs'>): Finding[] =>
  pairs.length > 0 ? [{ ...finding, pairs }] : []

/** "Out of sync, 2 pairs: drums-2 +47 ms, guitar −21 ms", with at most `maxNames` names. */
export function findingText({ what, pairs }: Finding, maxNames = Number.POSITIVE_INFINITY): string {
  const names = pairs.slice(0, maxNames).map(({ name, detail }) => (detail ? `${name} ${detail}` : name))
  const others = pairs.length > maxNames ? [`${pairs.length - maxNames} more`] : []
  return `${what}, ${countText(pairs.length, 'pair')}: ${[...names, ...others].join(', ')}`
}
