/** From values as they were given, in a job file, as flags or by a program, to values that can be trusted. */
import { closest } from 'fastest-levenshtein'
import type { z } from 'zod'
import { UserError } from '../platform/errors.ts'
import { camelCase, flagName, type Parameter, type Parameters, snakeCase, type Values } from './parameter.ts'

/** Values by their names in a job file, each with the place where a person would correct it: `--rank` or `job.json`. */
export type GivenValues = ReadonlyMap<string, GivenValue>

type GivenValue = { value: unknown; from: string }

/** What commander passes on: texts, lists of texts, true and false, by camelCase names. */
export type Flags = Readonly<Record<string, string | readonly string[] | boolean | undefined>>

/**
 * Checks every value and fills in the defaults. Wrong values are reported before missing ones.
 * @param relaxed accept fewer steps and any rank.
 * @throws UserError for the first value that its parameter does not accept, or that is missing.
 */
export function checkValues<Table extends Parameters>(
  table: Table,
  given: GivenValues,
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

/** The flags that were given, parsed. Text that cannot be parsed stays text, for the check to refuse. */
export function valuesFromFlags(table: Parameters, flags: Flags): GivenValues {
  const given = new Map<string, GivenValue>()
  for (const [name, parameter] of Object.entries(table)) {
    const flag = flags[camelCase(name)]
    if (flag !== undefined)
      given.set(name, { value: parseFlag(parameter, flag), from: `--${flagName(name, parameter)}` })
  }
  return given
}

function parseFlag({ parseText, combineTexts }: Parameter, flag: string | readonly string[] | boolean) {
  if (typeof flag === 'boolean') return flag
  if (typeof flag === 'string') return parseText(flag)
  return combineTexts ? combineTexts(flag) : parseText(flag.at(-1) ?? '')
}

function checkedValue(name: string, parameter: Parameter, given: GivenValue, relaxed: boolean): unknown {
  const { schema } = (relaxed && parameter.relaxedType) || parameter
  const result = schema.safeParse(given.value)
  if (!result.success) throw refusal(name, parameter, given, result.error)
  return result.data
}

const missing = (name: string, parameter: Parameter) =>
  new UserError(`${name} is missing`, { hint: `give it as --${flagName(name, parameter)} ${parameter.placeholder}` })

function refusal(name: string, parameter: Parameter, { value, from }: GivenValue, { issues: [issue] }: z.ZodError) {
  if (!issue) throw new Error(`${name} was refused without a reason`)
  const path = pathOf(name, issue.path)
  if (issue.code === 'unrecognized_keys') {
    const [unknown = ''] = issue.keys
    return unknownParameter(`${path}.${unknown}`, `${path}.${nearestName(unknown, parameter.keys ?? [])}`, from)
  }
  const refused = issue.path.reduce<unknown>((inner, key) => (inner as Record<PropertyKey, unknown>)[key], value)
  const message = refused === undefined ? `${path} is missing` : `${path} ${issue.message}, not ${shownValue(refused)}`
  const place = from.startsWith('--') ? from : `it in ${from}`
  const { default: fallback } = parameter
  const leaveOut = typeof fallback === 'number' ? `, or leave it out for ${fallback}` : ''
  return new UserError(message, { hint: `correct ${place}${leaveOut}` })
}

export const unknownParameter = (name: string, known: string, from: string) =>
  new UserError(`${from} has the unknown parameter ${shownValue(name)}`, { hint: `did you mean ${known}?` })

/** The known name that is closest to a mistyped one. How words are joined makes no difference: `numberOfSteps` is `number_of_steps`. */
export const nearestName = (name: string, known: readonly string[]) => closest(snakeCase(name.slice(0, 100)), known)

/** `validation[0].prompt` */
const pathOf = (name: string, keys: readonly PropertyKey[]) =>
  name + keys.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('')

/** A value in a message, however long it is. */
function shownValue(value: unknown): string {
  if (Array.isArray(value)) return `a list of ${value.length}`
  if (typeof value === 'object' && value !== null) return 'an object'
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value)
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}
