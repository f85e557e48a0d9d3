/** What a wheel requires for one of its extras, as `tensorflow[and-cuda]` does, from its file METADATA. */
import { satisfies, valid, validRange } from '@renovatebot/pep440'
import { normalizedName } from './package-index.ts'

/** @param specifier versions as in `<13.0,>=12.5.3.2`; empty for any. */
export type Requirement = { project: string; specifier: string }

/** The variables of an environment marker (PEP 508). */
export type MarkerVariables = Readonly<Record<string, string>>

/** The version of Python matters for no requirement of an extra, but markers may compare it. */
export const markerVariables = (platform: NodeJS.Platform, machine: string): MarkerVariables => ({
  python_version: '3.12',
  python_full_version: '3.12.0',
  implementation_name: 'cpython',
  platform_python_implementation: 'CPython',
  os_name: 'posix',
  sys_platform: platform,
  platform_system: platform === 'darwin' ? 'Darwin' : 'Linux',
  platform_machine: machine,
  platform_release: '',
  platform_version: '',
})

/**
 * The requirements that the extra adds. Those of the wheel itself and of other extras are not read.
 * @throws Error for a requirement or a marker that does not follow PEP 508, or names a URL.
 */
export function requirementsOfExtra(metadata: string, extra: string, variables: MarkerVariables): Requirement[] {
  const [header = ''] = metadata.split(/\r?\n\r?\n/)
  return [...header.matchAll(/^Requires-Dist:(.+)$/gim)].flatMap(([, text = '']) => {
    const [wanted = '', marker] = text.split(';').map((part) => part.trim())
    const isOfExtra = marker !== undefined && extrasIn(marker).includes(normalizedName(extra))
    if (!isOfExtra || holds(marker, { ...variables, extra: '' }) || !holds(marker, { ...variables, extra })) return []
    const [, name, specifier = ''] = /^([\w.-]+)\s*(?:\[[^\]]*\]\s*)?\(?\s*([^();@]*?)\s*\)?$/.exec(wanted) ?? []
    if (name === undefined || (specifier !== '' && !validRange(specifier)))
      throw new Error(`not a requirement: ${text}`)
    return { project: normalizedName(name), specifier }
  })
}

/** The extras that a marker names, normalized (PEP 685). */
const extrasIn = (marker: string) =>
  [...marker.matchAll(/extra\s*==\s*["']([^"']+)["']|["']([^"']+)["']\s*==\s*extra/g)].map(([, right, left]) =>
    normalizedName(right ?? left ?? ''),
  )

/** Evaluates a marker: `and`, `or`, parentheses, and comparisons of variables and quoted texts. */
export function holds(marker: string, variables: MarkerVariables): boolean {
  const tokens = marker.match(/"[^"]*"|'[^']*'|[()]|[<>=!~]+|[\w.]+|\S/g) ?? []
  let next = 0
  const wrong = () => new Error(`not an environment marker: ${marker}`)
  const accept = (token: string) => tokens[next] === token && ++next > 0

  const value = (): { text: string; variable?: string } => {
    const token = tokens[next++] ?? ''
    const [, quoted] = /^["'](.*)["']$/.exec(token) ?? []
    if (quoted !== undefined) return { text: quoted }
    const text = variables[token]
    if (text === undefined) throw wrong()
    return { text, variable: token }
  }
  const comparison = (): boolean => {
    const [left, operator, right] = [value(), accept('not') ? `not ${tokens[next++]}` : (tokens[next++] ?? ''), value()]
    if (operator === 'in') return right.text.includes(left.text)
    if (operator === 'not in') return !right.text.includes(left.text)
    const variable = left.variable ?? right.variable ?? ''
    const [a, b] =
      variable === 'extra' ? [left, right].map(({ text }) => normalizedName(text)) : [left.text, right.text]
    const isReversed = left.variable === undefined
    if (/_version$/.test(variable) && valid(isReversed ? (b as string) : (a as string)))
      return isReversed
        ? satisfies(b as string, `${mirrored[operator] ?? operator}${a}`)
        : satisfies(a as string, `${operator}${b}`)
    const compared = textComparisons[operator]
    if (!compared) throw wrong()
    return compared(a as string, b as string)
  }
  const primary = (): boolean => {
    if (!accept('(')) return comparison()
    const result = either()
    if (!accept(')')) throw wrong()
    return result
  }
  const both = (): boolean => {
    let result = primary()
    while (accept('and')) result = primary() && result // the right side is always read
    return result
  }
  const either = (): boolean => {
    let result = both()
    while (accept('or')) result = both() || result
    return result
  }
  const result = either()
  if (next < tokens.length) throw wrong()
  return result
}

const mirrored: Readonly<Record<string, string>> = { '<': '>', '<=': '>=', '>': '<', '>=': '<=' }

const textComparisons: Readonly<Record<string, (a: string, b: string) => boolean>> = {
  '==': (a, b) => a === b,
  '===': (a, b) => a === b,
  '!=': (a, b) => a !== b,
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
  '>': (a, b) => a > b,
  '>=': (a, b) => a >= b,
}
