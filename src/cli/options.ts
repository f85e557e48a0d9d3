/** Commander's options, made from the tables of parameters. */
import { Option } from 'commander'
import { flagName, kebabCase, type Parameter, type Parameters } from '../config/parameter.ts'

/** One option per parameter, and a hidden `--no-…` for each toggle. */
export const parameterOptions = (table: Parameters): Option[] =>
  Object.entries(table).flatMap(([name, parameter]) =>
    parameter.madeOf
      ? Object.entries(parameter.madeOf).map(([flags, help]) => optionOf(flags, help, parameter))
      : [parameterOption(name, parameter), ...negation(name, parameter)],
  )

/** Accepted, but not shown. */
export const hiddenOption = (name: string, placeholder: string) =>
  new Option(`--${kebabCase(name)} ${placeholder}`).hideHelp()

function parameterOption(name: string, parameter: Parameter): Option {
  const long = `--${kebabCase(name)} ${parameter.placeholder}`
  const flags = parameter.alias ? `--${flagName(name, parameter)}, ${long}` : long
  return optionOf(flags, description(name, parameter), parameter)
}

function optionOf(flags: string, help: string, { group, repeatable, madeOf }: Parameter): Option {
  const option = new Option(flags, help).helpGroup(`${group}:`)
  return repeatable || madeOf ? option.argParser(collect) : option
}

const collect = (text: string, before: readonly string[] = []) => [...before, text]

/** `size of the LoRA (8, 16, 32, 64 or 128; default: 32)` */
function description(name: string, parameter: Parameter): string {
  const { help, range, required, unset } = parameter
  const fallback = unset ?? String(parameter.default ?? '')
  const facts = [
    ...(range ? [range] : []),
    ...(required ? ['required'] : fallback ? [`default: ${fallback}`] : []),
    ...(parameter.default === true ? [`off: --no-${kebabCase(name)}`] : []),
  ]
  return facts.length > 0 ? `${help} (${facts.join('; ')})` : help
}

const negation = (name: string, parameter: Parameter) =>
  typeof parameter.default === 'boolean' ? [new Option(`--no-${kebabCase(name)}`).hideHelp()] : []
