import { z } from 'zod'

export type Parameter<T = unknown> = Kind<T> & {
  /** Heading in the help. */
  group: string
  help: string
  /** Used where nothing was given. Without one, and not required, the value is undefined. */
  default?: NoInfer<T>
  /** What the help says of the default where the value itself says too little. */
  unset?: string
  required?: boolean
  /** A second, shorter name. */
  alias?: string
  /** The flags, with their help, that make it up in place of one of its own. */
  madeOf?: Readonly<Record<string, string>>
  /** The hosted trainer does not have it. */
  ours?: boolean
  /** What `--dev-allow-few-steps` accepts instead. */
  relaxed?: Kind<number>
}

export type Parameters = Readonly<Record<string, Parameter>>

type ValueOf<P extends Parameter> =
  P['schema'] extends z.ZodType<infer T>
    ? P extends { default: unknown } | { required: true }
      ? T
      : T | undefined
    : never

/** The checked values of a table, by the names of the job file. */
export type Values<Table extends Parameters> = { [Name in keyof Table]: ValueOf<Table[Name]> }

type CamelCase<Name extends string> = Name extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : Name

/** The same values by the names our code uses: `numberOfSteps`. */
export type CamelCased<Named> = { [Name in keyof Named & string as CamelCase<Name>]: Named[Name] }

export const camelCase = (name: string) => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())

export const kebabCase = (name: string) => name.replaceAll('_', '-')

/** What a flag is called, by its shorter name where it has one. */
export const flagName = (name: string, { alias }: Parameter) => alias ?? kebabCase(name)

export const snakeCase = (name: string) =>
  name
    .replace(/-/g, '_')
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .toLowerCase()

export const camelCased = <Named extends Record<string, unknown>>(values: Named) =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [camelCase(name), value])) as CamelCased<Named>

/** The kinds of values a parameter can have: what is checked, how a flag's text becomes one, and how both are told to people. */

export type Kind<T> = {
  /** Its messages complete "rank …, not 24". */
  schema: z.ZodType<T>
  /** Stands behind the flag in the help: `--rank <number>`. */
  placeholder: string
  /** What can be given, as short as the help has room for. */
  range?: string
  /** The value that a flag's text spells. A text that spells none is returned as it is, for the schema to refuse. */
  fromText(text: string): unknown
  /** The names inside, for an object or a list of objects. */
  keys?: readonly string[]
  /** What a flag that may be given several times makes of all its texts. */
  repeatable?(texts: readonly string[]): unknown
}

const mustBe = (expected: string) => `must be ${expected}`

export const text = (): Kind<string> => ({
  schema: z.string(mustBe('text')),
  placeholder: '<text>',
  fromText: (text) => text,
})

/** A path or a URL. No path holds a NUL, and what the system says of one is no help. */
export const path = (placeholder: string): Kind<string> => ({
  schema: z
    .string(mustBe('a path'))
    .refine((path) => path.trim() !== '' && !path.includes('\0'), mustBe('a path that is not empty')),
  placeholder,
  fromText: (text) => text,
})

/** One or more paths as one text, with commas between. */
export const paths = (placeholder: string): Kind<string> => ({
  ...path(placeholder),
  repeatable: (texts) => texts.join(','),
})

export const toggle = (): Kind<boolean> => ({
  schema: z.boolean(mustBe('true or false')),
  placeholder: '[true|false]',
  fromText: (text) => (text === 'true' ? true : text === 'false' ? false : text),
})

export function choice<const T extends string | number>(values: readonly T[]): Kind<T> {
  const ofNumbers = typeof values[0] === 'number'
  return {
    schema: z.literal(values, mustBe(`one of ${values.join(', ')}`)),
    placeholder: ofNumbers ? '<number>' : '<name>',
    range: `${values.slice(0, -1).join(', ')} or ${values.at(-1)}`,
    fromText: ofNumbers ? numberFromText : (text) => text,
  }
}

export function whole(min: number, max: number): Kind<number> {
  const error = mustBe(`a whole number from ${min} to ${max}`)
  return { ...numeric(`${min} to ${max}`), schema: z.int(error).min(min, error).max(max, error) }
}

export function number(min: number, max: number): Kind<number> {
  const error = mustBe(`a number from ${min} to ${max}`)
  return { ...numeric(`${min} to ${max}`), schema: z.number(error).min(min, error).max(max, error) }
}

export function positive(max: number): Kind<number> {
  const error = mustBe(`a number above 0 and at most ${max}`)
  return { ...numeric(`above 0, at most ${max}`), schema: z.number(error).gt(0, error).max(max, error) }
}

/** A repeatable flag, or a list in a job file. With `separator`, one flag can hold several. */
export function listOf<T>(item: Kind<T>, separator?: string): Kind<T[]> {
  const error = mustBe('a list with at least one entry')
  const fromText = (text: string) =>
    separator ? text.split(separator).map((part) => item.fromText(part.trim())) : [item.fromText(text)]
  const schema = z.array(item.schema, error).min(1, error)
  return { ...item, schema, fromText, repeatable: (texts) => texts.flatMap(fromText) }
}

const numeric = (range: string) => ({ placeholder: '<number>', range, fromText: numberFromText })

/** Decimal only: `Number('')` would be 0, and `Number('0x10')` 16. */
const numberFromText = (text: string) => (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : text)
