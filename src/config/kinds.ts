/** The kinds of values a parameter can have: what is checked, how a flag's text becomes one, and how both are told to people. */
import { z } from 'zod'

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
