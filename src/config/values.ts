/** From values as they were given, in a job file, as flags or by a program, to values that can be trusted. */
import { closest, distance } from 'fastest-levenshtein'
import { z } from 'zod'
import { UserError } from '../platform/errors.ts'
import { countText, shownValue } from '../platform/text.ts'
import {
  camelCase,
  flagName,
  type Parameter,
  type Parameters,
  path,
  snakeCase,
  text,
  type Values,
  type ValueType,
} from './parameter.ts'

/** Values by their names in a job file, each with the place where a person would correct it: `--rank` or `job.json`. */
export type GivenValues = ReadonlyMap<string, GivenValue>

export type GivenValue = {
  value: unknown
  from: string
  /** The name that the caller used, where that is another one: `numberOfSteps`. */
  givenAs?: string | undefined
  /** What a flag was given with, where it was given once. */
  flagText?: string | undefined
}

/** Where the values of a program come from. */
export const optionsObject = 'the options object'

/** What commander passes on: texts, lists of texts, true and false, by camelCase names. */
export type Flags = Readonly<Record<string, string | readonly string[] | boolean | undefined>>

/**
 * Checks every value and fills in the defaults. Wrong values are reported before missing ones.
 * @param areOptions whether a program gives the values: then a missing one is named as it would write it.
 * @throws UserError for the first value that its parameter does not accept, or that is missing.
 */
export function checkValues<Table extends Parameters>(
  table: Table,
  given: GivenValues,
  { areOptions = false } = {},
): Values<Table> {
  const values: Record<string, unknown> = {}
  for (const [name, parameter] of Object.entries(table)) {
    const one = given.get(name)
    values[name] = one ? checkedValue(name, parameter, one) : parameter.default
  }
  for (const [name, parameter] of Object.entries(table))
    if (parameter.required && values[name] === undefined) throw missing(name, parameter, areOptions)
  return values as Values<Table>
}

/** The flags that were given, parsed. Text that cannot be parsed stays text, for the check to refuse. */
export function valuesFromFlags(table: Parameters, flags: Flags): GivenValues {
  const given = new Map<string, GivenValue>()
  for (const [name, parameter] of Object.entries(table)) {
    const flag = flags[camelCase(name)]
    if (flag !== undefined)
      given.set(name, {
        value: parseFlag(parameter, flag),
        from: `--${flagName(name, parameter)}`,
        ...(typeof flag === 'string' && { flagText: flag }),
      })
  }
  return given
}

function parseFlag({ parseText, combineTexts }: Parameter, flag: string | readonly string[] | boolean) {
  if (typeof flag === 'boolean') return flag
  if (typeof flag === 'string') return parseText(flag)
  return combineTexts ? combineTexts(flag) : parseText(flag.at(-1) ?? '')
}

function checkedValue(name: string, parameter: Parameter, given: GivenValue): unknown {
  const result = parameter.schema.safeParse(given.value)
  if (!result.success) throw refusal(name, parameter, given, result.error)
  return result.data
}

function missing(name: string, parameter: Parameter, areOptions: boolean) {
  if (areOptions) {
    const { optionName = camelCase(name) } = parameter
    return new UserError(`${optionName} is missing`, { hint: `give it in ${optionsObject}`, parameter: name })
  }
  return new UserError(`${name} is missing`, {
    hint: `give it as --${flagName(name, parameter)} ${parameter.placeholder}`,
    parameter: name,
  })
}

function refusal(
  name: string,
  parameter: Parameter,
  { value, from, givenAs = name, flagText }: GivenValue,
  { issues: [issue] }: z.ZodError,
) {
  if (!issue) throw new Error(`${name} was refused without a reason`)
  const named = (key: string) => (from === optionsObject ? camelCase(key) : key)
  const path = pathOf(
    givenAs,
    issue.path.map((key) => (typeof key === 'string' ? named(key) : key)),
  )
  if (issue.code === 'unrecognized_keys') {
    const [unknown = ''] = issue.keys
    const nearest = nearestName(unknown, parameter.keys ?? [])
    return unknownParameter(`${path}.${named(unknown)}`, nearest && `${path}.${named(nearest)}`, from)
  }
  const refused = issue.path.reduce<unknown>((inner, key) => (inner as Record<PropertyKey, unknown>)[key], value)
  const isFlag = from.startsWith('--')
  const isText = typeof value !== 'object' || parameter.keys !== undefined // otherwise its parts have no names in a flag
  const [position] = issue.path
  const isOneOfSeveral = typeof position === 'number' && Array.isArray(value) && value.length > 1
  const called = !isFlag || isText ? path : isOneOfSeveral ? `entry ${position + 1} of ${from}` : from
  const shown = isFlag && typeof refused === 'object' && flagText !== undefined ? flagText : shownValue(refused)
  const expected = (parameter.keys ?? []).reduce((text, key) => text.replaceAll(key, named(key)), issue.message)
  const message = refused === undefined ? `${path} is missing` : `${called} ${expected}, not ${shown}`
  const place = isFlag ? from : `it in ${from}`
  const { default: fallback } = parameter
  const leaveOut = typeof fallback === 'number' ? `, or leave it out for ${fallback}` : ''
  return new UserError(message, { hint: `correct ${place}${leaveOut}`, parameter: name, place: placeOf(issue.path) })
}

/** @param known the name that was probably meant. */
export const unknownParameter = (name: string, known: string | undefined, from: string) =>
  new UserError(`${from} has the unknown parameter ${shownValue(name)}`, {
    hint: known === undefined ? undefined : `did you mean ${known}?`,
  })

/** The known name that is closest to a mistyped one; undefined where none is close. How words are joined makes no difference: `numberOfSteps` is `number_of_steps`. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  const given = snakeCase(name.slice(0, 100))
  const nearest = closest(given, known)
  const words = nearest.split('_')
  const isClose =
    distance(given, nearest) <= Math.max(2, given.length / 3) || given.split('_').some((word) => words.includes(word))
  return isClose ? nearest : undefined
}

const placeOf = (path: readonly PropertyKey[]) => path.map((key) => (typeof key === 'number' ? key : String(key)))

/** `validation[0].prompt` */
const pathOf = (name: string, keys: readonly PropertyKey[]) =>
  name + keys.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('')

type ValidationEntry = { prompt?: string | undefined; reference_audio_url: string }

/** One reference recording and the prompt that it is previewed with. */
export type Validation = { prompt: string; referenceAudioUrl: string }

const entry = z.strictObject(
  { prompt: text().schema.optional(), reference_audio_url: path('<file | URL>').schema },
  {
    error: ({ code }) => (code === 'invalid_type' ? 'must be an object {prompt, reference_audio_url}' : undefined),
  },
)

const validationListOf = (most: number): ValueType<ValidationEntry[]> => ({
  schema: z
    .array(entry, 'must be a list of {prompt, reference_audio_url}')
    .max(most, `must have at most ${most} entries`),
  placeholder: '',
  range: `at most ${most} entries`,
  keys: Object.keys(entry.shape),
  isList: true,
  parseText: (text) => text,
})

/** Each entry is previewed at every interval, and is on the page of the run. */
export const validationList = validationListOf(16)
export const hostedValidationList = validationListOf(2)

/**
 * The values that the hosted trainer would refuse, in one sentence; undefined where there are none. Parameters that it does not have are not reported.
 */
export function hostedRefusal(table: Parameters, values: Readonly<Record<string, unknown>>): string | undefined {
  const refused = Object.entries(table).flatMap(([name, { hosted }]) =>
    hosted && !hosted.schema.safeParse(values[name]).success
      ? [`${name} is ${shownValue(values[name])} (there: ${hosted.range})`]
      : [],
  )
  return refused.length > 0
    ? `fal.ai's hosted trainer of LTX-2.3 would not accept this job: ${refused.join(', ')}`
    : undefined
}

/** The help of the two flags. */
export const validationFlags = {
  '--validation-reference <file>': 'a recording to transform, a file or URL; may be repeated',
  '--validation-prompt <text>': 'prompt for the corresponding --validation-reference (default: the trigger phrase)',
}

/** The list that the two flags stand for; undefined where neither was given. */
export function validationFromFlags(references: readonly string[] = [], prompts: readonly string[] = []) {
  if (prompts.length > references.length)
    throw new UserError(
      `${countText(prompts.length, 'validation prompt')} but ${countText(references.length, 'validation reference')} were given`,
      { hint: 'give one --validation-reference <file> for each --validation-prompt', parameter: 'validation' },
    )
  if (references.length === 0) return undefined
  return references.map((reference, i) => ({ prompt: prompts[i], reference_audio_url: reference }))
}
