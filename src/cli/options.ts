/** Commander's options, made from the tables of parameters. */
import { type Command, InvalidArgumentError, Option } from 'commander'
import { defaultLimits } from '../config/limits.ts'
import { flagName, kebabCase, type Parameter, type Parameters, togglePlaceholder } from '../config/parameter.ts'
import { videoFields } from '../config/parameters.ts'
import type { Flags } from '../config/values.ts'
import { UserError } from '../platform/errors.ts'
import { logLevels } from '../platform/log.ts'
import type { OutputOptions } from './run-command.ts'

/** What commander passes to an action: the flags of the parameters, and those of all commands. */
export type CommandOptions = Flags & OutputOptions & { limit?: string[] }

/** The heading of the options that are about the job. */
export const jobGroup = 'Job:'

export const configOption = () =>
  pathOption('--config <job.json>', 'read parameters from a job file; flags win over it').helpGroup(jobGroup)

/** An option that is not in a table, for a path. An empty one, as from an unset variable of a script, is refused. */
export const pathOption = (flags: string, description: string) =>
  once(new Option(flags, description), (path) => {
    if (path.trim() === '') throw new InvalidArgumentError('It must not be empty.')
  })

/** An option that names a file or folder. Given twice, all but the last would be ignored without a word. */
function once(option: Option, check: (path: string) => void = () => {}): Option {
  let first: string | undefined
  return option.argParser((path: string) => {
    if (first !== undefined && first !== path)
      throw new UserError(`${option.short ?? option.long} was given twice: ${first} and ${path}`, {
        hint: 'keep one of them',
      })
    first = path
    check(path)
    return path
  })
}

/** Adds the options of a table, and those that every command with parameters has. */
export function addParameters(command: Command, table: Parameters) {
  for (const option of parameterOptions(table)) command.addOption(option)
  addQuietOption(command)
  command.option('--json-progress', 'events and messages as lines of JSON, for programs')
  command.addOption(limitOption())
}

/** Whether an existing file may be replaced that the command did not write. */
export const forceOption = () =>
  new Option('--force', 'replace an existing file that this command did not write').helpGroup('Output:')

const limitOption = () =>
  new Option('--limit <name=number>', `changes a limit; may be repeated (defaults: ${limitDefaults})`)
    .argParser(collect)
    .helpGroup('Limits on the input:')

const limitDefaults = Object.entries(defaultLimits)
  .map(([name, value]) => `${name}=${value}`)
  .join(', ')

/** For programs that start this one: it stops as by Ctrl-C when they end, however they end. */
export const stopWithStdinOption = () => new Option('--stop-with-stdin').hideHelp()

export const addQuietOption = (command: Command) => command.option('-q, --quiet', 'print errors and the result only')

/** Of commands that run for days. */
export function addLogOptions(command: Command) {
  command
    .addOption(
      new Option('--log-format <format>', 'lines for people, or JSON lines for programs')
        .choices(['text', 'json'])
        .default('text')
        .env('LTX_A2A_LOG_FORMAT'),
    )
    .addOption(
      new Option('--log-level <level>', 'the lowest level that is logged; debug includes every HTTP request')
        .choices(logLevels)
        .default('info')
        .env('LTX_A2A_LOG_LEVEL'),
    )
}

/** Accepts the fields of the hosted trainers' job format that have no effect here. */
export function addVideoFields(command: Command) {
  for (const name of videoFields) command.addOption(new Option(`--${kebabCase(name)} [value]`).hideHelp())
}

/** One option per parameter, and a hidden `--no-…` for each toggle. */
const parameterOptions = (table: Parameters): Option[] =>
  Object.entries(table).flatMap(([name, parameter]) =>
    parameter.compositeFlags
      ? Object.entries(parameter.compositeFlags).map(([flags, help]) => optionOf(flags, help, parameter))
      : [parameterOption(name, parameter), ...negation(name, parameter)],
  )

function parameterOption(name: string, parameter: Parameter): Option {
  const long = `--${kebabCase(name)} ${parameter.placeholder}`
  const flags = parameter.alias ? `--${flagName(name, parameter)}, ${long}` : long
  return optionOf(flags, description(name, parameter), parameter)
}

function optionOf(flags: string, help: string, { group, combineTexts, compositeFlags, isPath }: Parameter): Option {
  const option = new Option(flags, help).helpGroup(`${group}:`)
  if (combineTexts || compositeFlags) return option.argParser(collect)
  return isPath ? once(option) : option
}

const collect = (text: string, before: readonly string[] = []) => [...before, text]

/** `rank of the LoRA matrices (8, 16, 32, 64 or 128; default: 32)` */
function description(name: string, parameter: Parameter): string {
  const { help, range, required } = parameter
  const defaultText = parameter.defaultText ?? String(parameter.default ?? '')
  const facts = [
    ...(range ? [range] : []),
    ...(required ? ['required'] : defaultText ? [`default: ${defaultText}`] : []),
    ...(isToggle(parameter) && parameter.default !== false ? [`off: --no-${kebabCase(name)}`] : []),
  ]
  return facts.length > 0 ? `${help} (${facts.join('; ')})` : help
}

const negation = (name: string, parameter: Parameter) =>
  isToggle(parameter) ? [new Option(`--no-${kebabCase(name)}`).helpGroup(`${parameter.group}:`).hideHelp()] : []

const isToggle = ({ placeholder }: Parameter) => placeholder === togglePlaceholder
