import type { z } from 'zod'
import type { Kind } from './kinds.ts'

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
