/** What a wheel requires for one of its extras, as `tensorflow[and-cuda]` does, from its file METADATA. */
import { satisfies, valid } from '@renovatebot/pep440'
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
})

/**
 * The requirements that the extra adds.
 * @throws Error for a requirement or a marker that does not follow PEP 508.
 */
export function requirementsOfExtra(metadata: string, extra: string, variables: MarkerVariables): Requirement[] {
  const [header = ''] = metadata.split(/\r?\n\r?\n/)
  return [...header.matchAll(/^Requires-Dist:\s*(.+?)\s*$/gim)].flatMap(([, text = '']) => {
    const [, name, specifier = '', marker] =
      /^([\w.-]+)\s*(?:\[[^\]]*\]\s*)?\(?\s*([^();@]*?)\s*\)?\s*(?:;\s*(.+))?$/.exec(text) ?? []
    if (name === undefined) throw new Error(`not a requirement: ${text}`)
    if (marker === undefined || holds(marker, { ...variables, extra: '' })) return []
    return holds(marker, { ...variables, extra }) ? { project: normalizedName(name), specifier } : []
  })
}

/** Evaluates a marker: `and`, `or`, parentheses, and comparisons of variables and quoted texts. */
export function holds(marker: string, variables: MarkerVariables): boolean {
  const tokens = marker.match(/"[^"]*"|'[^']*'|[()]|[<>=!~]+|[\w.]+|\S/g) ?? []
  let next = 0
  const wrong = () => new Error(`not an environment marker: ${marker}`)
  const accept = (token: string) => tokens[next] === token && ++next > 0

  const value = (): { text: string; isVersion: boolean } => {
    const token = tokens[next++] ?? ''
    const [, quoted] = /^["'](.*)["']$/.exec(token) ?? []
    if (quoted !== undefined) return { text: quoted, isVersion: false }
    const text = variables[token]
    if (text === undefined) throw wrong()
    return { text, isVersion: /_version$/.test(token) }
  }
  const comparison = (): boolean => {
    const left = value()
    const operator = accept('not') ? `not ${tokens[next++]}` : (tokens[next++] ?? '')
    const right = value()
    if (operator === 'in') return right.text.includes(left.text)
    if (operator === 'not in') return !right.text.includes(left.text)
    if (left.isVersion && valid(left.text)) return satisfies(left.text, `${operator}${right.text}`)
    if (operator === '==' || operator === '===') return left.text === right.text
    if (operator === '!=') return left.text !== right.text
    throw wrong()
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
