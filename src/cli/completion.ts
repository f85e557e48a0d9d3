/** `ltx-a2a completion`: what a shell needs to complete our commands and flags, made from the program itself. */
import type { Command } from 'commander'

export const shells = ['bash', 'zsh', 'fish'] as const

export type Shell = (typeof shells)[number]

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

/** `--data, --training-data-url` are both long: commander calls the first one short. */
const longFlags = (...flags: (string | undefined)[]) =>
  flags.filter((flag): flag is string => flag?.startsWith('--') === true)

type Completed = { name: string; summary: string; flags: { long: string; description: string }[] }

/** After a command its flags; everywhere else files, by the shell's own rules. */
function bash(name: string, commands: readonly Completed[]): string {
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

const zsh = (name: string, commands: readonly Completed[]) =>
  `autoload -Uz compinit bashcompinit\ncompinit\nbashcompinit\n${bash(name, commands)}`

function fish(name: string, commands: readonly Completed[]): string {
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
