/** What a parameter is: the type of its value, its default, its help, and its names in job files, on the command line and in code. */
import { z } from 'zod'

export type Parameter<T = unknown> = ValueType<T> & {
  /** Heading in the help. */
  group: string
  help: string
  /** The value when none is given. Without a default, an optional parameter is undefined. */
  default?: NoInfer<T>
  /** What the help shows as the default where the value itself would say too little. */
  defaultText?: string
  required?: boolean
  /** A second, shorter name. */
  alias?: string
  /** The name in the options of the library, where it is not the same in camelCase. */
  optionName?: string
  /** The flags, with their help, that replace a single flag for this parameter. */
  compositeFlags?: Readonly<Record<string, string>>
  /** True for parameters that the hosted trainer does not have. */
  extension?: boolean
  /** What the hosted trainer accepts, where that is less. */
  hosted?: ValueType<unknown>
}

export type Parameters = Readonly<Record<string, Parameter>>

/** The type of a value: how it is checked, how a flag's text is parsed, and how the help describes it. */
export type ValueType<T> = {
  /** Its messages complete "rank …, not 24". */
  schema: z.ZodType<T>
  /** Shown behind the flag in the help: `--rank <number>`. */
  placeholder: string
  /** The allowed values, in a few words. */
  range?: string
  /** Parses the text of a flag. Text that cannot be parsed is returned unchanged, so that the schema refuses it. */
  parseText(text: string): unknown
  /** The names inside an object or a list of objects. */
  keys?: readonly string[]
  /** Whether it is the path or URL of a file or folder. */
  isPath?: boolean
  /** Whether it is a list, so that a program may give one entry without one. */
  isList?: boolean
  /** Combines the texts of a flag that is given several times. */
  combineTexts?(texts: readonly string[]): unknown
}

const mustBe = (expected: string) => `must be ${expected}`

/** Longer ones do not fit into the command line of a process, and no text encoder reads them to the end. */
const longestText = 10_000

export const text = (): ValueType<string> => ({
  schema: z
    .string(mustBe('text'))
    .refine((text) => !/[\0\p{Cs}]/u.test(text), mustBe('text without NUL characters and unpaired surrogates'))
    .refine((text) => text.length <= longestText, mustBe(`at most ${longestText} characters long`)),
  placeholder: '<text>',
  parseText: (text) => text,
})

/** A few words on one line, or nothing at all. @param most in characters. */
export const phrase = (most: number): ValueType<string> => ({
  ...text(),
  schema: z
    .string(mustBe('text'))
    .refine((text) => !/[\p{Cc}\p{Cs}]/u.test(text), mustBe('one line without control characters'))
    .refine((text) => text === '' || /[^\p{Z}\p{Cf}]/u.test(text), mustBe('more than blanks'))
    .refine((text) => text.length <= most, mustBe(`at most ${most} characters long`)),
})

/** A name, without white space around it. */
export const name = (placeholder: string): ValueType<string> => ({
  schema: z.string(mustBe('a name')).trim().min(1, mustBe('a name that is not empty')),
  placeholder,
  parseText: (text) => text,
})

/** A path or a URL. No path contains a NUL character, and the system's own message for one is no help. */
export const path = (placeholder: string): ValueType<string> => ({
  schema: z
    .string(mustBe('a path'))
    .refine((path) => path.trim() !== '' && !path.includes('\0'), mustBe('a path that is not empty')),
  placeholder,
  parseText: (text) => text,
  isPath: true,
})

/** One or more paths in one text, separated by commas. */
export const paths = (placeholder: string): ValueType<string> => ({
  ...path(placeholder),
  combineTexts: (texts) => texts.join(','),
})

/** The command line has `--no-<name>` for parameters with this placeholder. */
export const togglePlaceholder = '[true|false]'

export const toggle = (): ValueType<boolean> => ({
  schema: z.boolean(mustBe('true or false')),
  placeholder: togglePlaceholder,
  parseText: (text) => (text === 'true' ? true : text === 'false' ? false : text),
})

export function choice<const T extends string | number>(values: readonly T[]): ValueType<T> {
  const areNumbers = typeof values[0] === 'number'
  return {
    schema: z.literal(values, mustBe(`one of ${values.join(', ')}`)),
    placeholder: areNumbers ? '<number>' : '<name>',
    range: `${values.slice(0, -1).join(', ')} or ${values.at(-1)}`,
    parseText: areNumbers ? parseNumber : (text) => text,
  }
}

export function integer(min: number, max: number): ValueType<number> {
  const error = mustBe(`a whole number from ${min} to ${max}`)
  return { ...numeric(`${min} to ${max}`), schema: z.int(error).min(min, error).max(max, error) }
}

export function number(min: number, max: number): ValueType<number> {
  const error = mustBe(`a number from ${min} to ${max}`)
  return { ...numeric(`${min} to ${max}`), schema: z.number(error).min(min, error).max(max, error) }
}

/** At least `min` and below `max`. */
export function numberBelow(min: number, max: number): ValueType<number> {
  const error = mustBe(`a number from ${min} to below ${max}`)
  return { ...numeric(`${min} to below ${max}`), schema: z.number(error).min(min, error).lt(max, error) }
}

/** The word, or a whole number. */
export function wordOrInteger<const Word extends string>(
  word: Word,
  min: number,
  max: number,
): ValueType<Word | number> {
  const error = mustBe(`${word} or a whole number from ${min} to ${max}`)
  return {
    ...numeric(`${word}, or ${min} to ${max}`),
    schema: z.union([z.literal(word), z.int(error).min(min, error).max(max, error)], error),
  }
}

export type Range = { from: number; to: number }

/** Two numbers with a colon between, `5:30`, or one that is both. */
export function range(min: number, max: number): ValueType<Range> {
  const error = mustBe(
    `a number from ${min} to ${max}, or two with the smaller one first, such as ${max / 4}:${max / 2}`,
  )
  const bound = z.number(error).min(min, error).max(max, error)
  return {
    schema: z.object({ from: bound, to: bound }, error).refine(({ from, to }) => from <= to, error),
    placeholder: '<from:to>',
    range: `${min} to ${max}`,
    parseText: (text) => {
      const [from = '', to = from, ...others] = text.split(':')
      const numbers = { from: parseNumber(from), to: parseNumber(to) }
      return others.length === 0 && Object.values(numbers).every((value) => typeof value === 'number') ? numbers : text
    },
  }
}

/** A number of things or a share of them: `4`, `0.1`, `10%`. The value is a whole number, or a share between 0 and 1; 0 is none. */
export function countOrShare(): ValueType<number> {
  const error = mustBe('a whole number, or a share below 1 such as 0.1 or 10%')
  const parseText = (text: string) => {
    const [, percent] = /^(\d+(?:\.\d+)?)\s*%$/.exec(text.trim()) ?? []
    const share = Number(percent) / 100
    if (percent !== undefined) return share < 1 ? share : text
    const number = parseNumber(text)
    return typeof number === 'number' && number >= 1 && text.includes('.') ? text : number // 1.0 looks like a share
  }
  const isCountOrShare = (value: number) => value >= 0 && (value < 1 || Number.isInteger(value))
  const schema = z.preprocess(
    (value) => (typeof value === 'string' ? parseText(value) : value),
    z.number(error).refine(isCountOrShare, error),
  )
  return { placeholder: '<pairs|share>', range: 'a number, or a share such as 0.1 or 10%', schema, parseText }
}

export function positive(max: number): ValueType<number> {
  const error = mustBe(`a number above 0 and at most ${max}`)
  return { ...numeric(`above 0, at most ${max}`), schema: z.number(error).gt(0, error).max(max, error) }
}

/** A flag that may be repeated, or a list in a job file. With `separator`, one flag can hold several values. */
export function listOf<T>(item: ValueType<T>, separator?: string): ValueType<T[]> {
  const error = mustBe('a list with at least one entry')
  const parseText = (text: string) =>
    separator ? text.split(separator).map((part) => item.parseText(part.trim())) : [item.parseText(text)]
  const schema = z.array(item.schema, error).min(1, error)
  return { ...item, schema, parseText, isList: true, combineTexts: (texts) => texts.flatMap(parseText) }
}

/** Decimal notation only: `Number('')` would be 0, and `Number('0x10')` 16. */
const parseNumber = (text: string) => (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : text)

const numeric = (range: string) => ({ placeholder: '<number>', range, parseText: parseNumber })

type ValueOf<P extends Parameter> =
  P['schema'] extends z.ZodType<infer T>
    ? P extends { default: unknown } | { required: true }
      ? T
      : T | undefined
    : never

/** The checked values of a table, by their names in a job file. */
export type Values<Table extends Parameters> = { [Name in keyof Table]: ValueOf<Table[Name]> }

type CamelCase<Name extends string> = Name extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : Name

/** The same values by their names in code, `numberOfSteps`, in nested objects as well. */
export type CamelCased<T> = T extends readonly (infer Item)[]
  ? CamelCased<Item>[]
  : T extends Readonly<Record<string, unknown>>
    ? { [Name in keyof T & string as CamelCase<Name>]: CamelCased<T[Name]> }
    : T

/** What a program may give for a table: every value that has a default, or is not required, may be left out. */
export type OptionsOf<Table extends Parameters> = Partial<CamelCased<Values<Table>>>

export const camelCase = (name: string) => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())

export const kebabCase = (name: string) => name.replaceAll('_', '-')

export const snakeCase = (name: string) =>
  name
    .replace(/-/g, '_')
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .toLowerCase()

/** Names of a job file to names in code, in nested objects and lists as well. */
export const camelCased = <T>(value: T) => withNames(value, camelCase) as CamelCased<T>

/** Names in code to names of a job file, in nested objects and lists as well; undefined values are left out. */
export const snakeCased = (value: object) => withNames(value, snakeCase) as Record<string, unknown>

function withNames(value: unknown, rename: (name: string) => string): unknown {
  if (Array.isArray(value)) return value.map((item) => withNames(item, rename))
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).map(([name, inner]) => [rename(name), withNames(inner, rename)] as const)
  return Object.fromEntries(rename === snakeCase ? entries.filter(([, inner]) => inner !== undefined) : entries)
}

/** The name of a parameter's flag: the shorter name where there is one. */
export const flagName = (name: string, { alias }: Parameter) => alias ?? kebabCase(name)
