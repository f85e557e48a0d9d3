/** `ltx-a2a completion`: a script that makes a shell complete commands and flags, generated from the program itself. */
import { Argument, type Command } from 'commander'
import { runCommand } from './run-command.ts'

export const shells = ['bash', 'zsh', 'fish'] as const

export type Shell = (typeof shells)[number]

export function addCompletion(program: Command) {
  program
    .command('completion')
    .summary('print a script that completes commands and flags')
    .description('Prints a script that makes a shell complete commands and flags.')
    .addArgument(new Argument('<shell>').choices(shells))
    .addHelpText('after', examples)
    .action((shell: Shell) => runCommand({}, async ({ output }) => output.result(completionScript(shell, program))))
}

const examples = `
Examples:
  ltx-a2a completion bash >> ~/.bashrc
  ltx-a2a completion zsh >> ~/.zshrc
  ltx-a2a completion fish > ~/.config/fish/completions/ltx-a2a.fish`

/** A script to be sourced by that shell. */
export function completionScript(shell: Shell, program: Command): string {
  const commands = program.commands.map((command) => ({
    name: command.name(),
    summary: command.summary(),
    flags: [
      ...command.options
        .filter(({ hidden }) => !hidden)
        .flatMap(({ short, long, description }) => longFlags(short, long).map((flag) => ({ long: flag, description }))),
      { long: '--help', description: 'display help' },
    ],
  }))
  return { bash, zsh, fish }[shell](program.name(), commands)
}

/** Of `--data, --training-data-url`, commander calls the first one short. */
const longFlags = (...flags: (string | undefined)[]) =>
  flags.filter((flag): flag is string => flag?.startsWith('--') === true)

type CommandFlags = { name: string; summary: string; flags: { long: string; description: string }[] }

/** Flags after a command; files everywhere else, by the rules of the shell. */
function bash(name: string, commands: readonly CommandFlags[]): string {
  const words = (list: readonly string[]) => `'${list.join(' ')}'`
  const cases = commands.map(({ name, flags }) => `    ${name}) words=${words(flags.map(({ long }) => long))} ;;`)
  return `_ltx_a2a() {
  local current="\${COMP_WORDS[COMP_CWORD]}" words=''
  case "\${COMP_WORDS[1]}" in
${cases.join('\n')}
  esac
  if [ "$COMP_CWORD" -eq 1 ]; then words=${words(commands.map(({ name }) => name))}; fi
  COMPREPLY=()
  case "$current" in
    -*) ;;
    *) if [ "$COMP_CWORD" -gt 1 ]; then COMPREPLY=($(compgen -f -- "$current")); return; fi ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o filenames -F _ltx_a2a ${name}
`
}

const zsh = (name: string, commands: readonly CommandFlags[]) =>
  `autoload -Uz compinit bashcompinit\ncompinit\nbashcompinit\n${bash(name, commands)}`

function fish(name: string, commands: readonly CommandFlags[]): string {
  const quoted = (text: string) => `'${text.replace(/\\/g, '\\\\').replace(/'/g, "\\'")}'`
  const lines = commands.flatMap((command) => [
    `complete -c ${name} -n __fish_use_subcommand -a ${command.name} -d ${quoted(command.summary)}`,
    ...command.flags.map(
      ({ long, description }) =>
        `complete -c ${name} -n '__fish_seen_subcommand_from ${command.name}' -l ${long.slice(2)} -d ${quoted(description)}`,
    ),
  ])
  return `${lines.join('\n')}\n`
}
