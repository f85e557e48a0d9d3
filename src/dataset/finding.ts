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
  return `${what}, ${pairs.length} ${pairs.length === 1 ? 'pair' : 'pairs'}: ${[...names, ...others].join(', ')}`
}
