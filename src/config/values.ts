/** From what was given, in a job file or as flags, to values that can be trusted. */

import { closest } from 'fastest-levenshtein'
import type { z } from 'zod'
import { UserError } from '../platform/errors.ts'
import { camelCase, flagName, type Parameter, type Parameters, snakeCase, type Values } from './parameter.ts'

/** Values by the names of the job file, each with where a person would correct it: `--rank` or `job.json`. */
export type Given = ReadonlyMap<string, One>

type One = { value: unknown; from: string }

/** What commander hands over: texts, lists of texts, and true or false, by camelCase names. */
export type Flags = Readonly<Record<string, string | readonly string[] | boolean | undefined>>

/**
 * Checks every value and fills in the defaults. What is wrong is told before what is missing.
 * @param relaxed accept what the demo needs: fewer steps, any rank.
 * @throws UserError for the first value that is not what its parameter expects, or missing.
 */
export function checkValues<Table extends Parameters>(
  table: Table,
  given: Given,
  { relaxed = false } = {},
): Values<Table> {
  const values: Record<string, unknown> = {}
  for (const [name, parameter] of Object.entries(table)) {
    const one = given.get(name)
    values[name] = one ? checkedValue(name, parameter, one, relaxed) : parameter.default
  }
  for (const [name, parameter] of Object.entries(table))
    if (parameter.required && values[name] === undefined) throw missing(name, parameter)
  return values as Values<Table>
}

/** The flags that were given, as values: texts become what they spell, or stay texts for the check to refuse. */
export function givenByFlags(table: Parameters, flags: Flags): Given {
  const given = new Map<string, One>()
  for (const [name, parameter] of Object.entries(table)) {
    const flag = flags[camelCase(name)]
    if (flag !== undefined) given.set(name, { value: spelled(parameter, flag), from: `--${flagName(name, parameter)}` })
  }
  return given
}

function spelled({ fromText, repeatable }: Parameter, flag: string | readonly string[] | boolean) {
  if (typeof flag === 'boolean') return flag
  if (typeof flag === 'string') return fromText(flag)
  return repeatable ? repeatable(flag) : fromText(flag.at(-1) ?? '')
}

function checkedValue(name: string, parameter: Parameter, one: One, relaxed: boolean): unknown {
  const { schema } = (relaxed && parameter.relaxed) || parameter
  const result = schema.safeParse(one.value)
  if (!result.success) throw refusal(name, parameter, one, result.error)
  return result.data
}

const missing = (name: string, parameter: Parameter) =>
  new UserError(`${name} is missing`, { hint: `give it as --${flagName(name, parameter)} ${parameter.placeholder}` })

function refusal(name: string, parameter: Parameter, { value, from }: One, { issues: [issue] }: z.ZodError) {
  if (!issue) throw new Error(`${name} was refused without a reason`)
  const path = pathOf(name, issue.path)
  if (issue.code === 'unrecognized_keys') {
    const [unknown = ''] = issue.keys
    return unknownParameter(`${path}.${unknown}`, `${path}.${nearest(unknown, parameter.keys ?? [])}`, from)
  }
  const refused = issue.path.reduce<unknown>((inner, key) => (inner as Record<PropertyKey, unknown>)[key], value)
  const message = refused === undefined ? `${path} is missing` : `${path} ${issue.message}, not ${shown(refused)}`
  const place = from.startsWith('--') ? from : `it in ${from}`
  const { default: fallback } = parameter
  const leaveOut = typeof fallback === 'number' ? `, or leave it out for ${fallback}` : ''
  return new UserError(message, { hint: `correct ${place}${leaveOut}` })
}

export const unknownParameter = (name: string, known: string, from: string) =>
  new UserError(`${from} has the unknown parameter ${shown(name)}`, { hint: `did you mean ${known}?` })

/** `validation[0].prompt` */
const pathOf = (name: string, keys: readonly PropertyKey[]) =>
  name + keys.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('')

/** A value as people recognise it, however long it is. */
function shown(value: unknown): string {
  if (Array.isArray(value)) return `a list of ${value.length}`
  if (typeof value === 'object' && value !== null) return 'an object'
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value)
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}

/** The known name that a mistyped one most likely meant. How words are joined makes no difference: `numberOfSteps` is `number_of_steps`. */
export const nearest = (name: string, known: readonly string[]) => closest(snakeCase(name.slice(0, 100)), known)
