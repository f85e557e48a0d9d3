/** `ltx-a2a make-pairs`: pairs from clean recordings and an effect. */
import { type Command, Option } from 'commander'
import { makePairsParameters } from '../config/parameters.ts'
import { type MakePairsSettings, resolveMakePairsSettings } from '../config/settings.ts'
import type { MadePair } from '../dataset/make-pairs.ts'
import { UserError } from '../platform/errors.ts'
import { countText } from '../platform/text.ts'
import { addParameters, type CommandOptions, forceOption, pathOption } from './options.ts'
import { type CommandContext, runCommand } from './run-command.ts'

type MakeFlags = CommandOptions & { out: string; json?: true; force?: true }

export function addMakePairs(program: Command) {
  const command = program
    .command('make-pairs')
    .summary('make pairs from clean recordings and an effect')
    .description(
      'Makes a dataset from recordings of one side: each becomes a pair with itself and an effect, of the same length and in sync to the sample. The strengths of the effect are drawn anew for each pair, and written to make-pairs.json in the zip.',
    )
    .argument('[recordings...]', 'more clean recordings, as --clean *.wav gives them')
    .addHelpText('after', examples)
  addParameters(command, makePairsParameters)
  command.addOption(pathOption('--out <zip>', 'the zip to write').default('pairs.zip').helpGroup('Output:'))
  command.addOption(new Option('--json', 'print the pairs and their strengths as JSON').helpGroup('Output:'))
  command.addOption(forceOption())
  command.action((recordings: string[], flags: MakeFlags) =>
    runCommand(flags, (context) => {
      const isDefaultOut = command.getOptionValueSource('out') === 'default'
      return make(recordings, { ...flags, isDefaultOut }, context)
    }),
  )
}

const examples = `
Strengths, drawn for each pair:
  telephone  from 250-400 to 2800-3600 Hz, noise at 25-45 dB, 8 kHz mu-law
  radio      from 150-400 to 2500-5000 Hz, 3-15 dB of drive, noise at 15-35 dB
  vinyl      from 30-80 to 5000-10000 Hz, noise at 12-22 dB, 5-40 clicks per second
  room       reverberation time 0.3-1.2 s, direct sound -3 to 9 dB above the reverberation
  mp3        16 kbit/s for each channel
  mp3-64k    64 kbit/s
  clipping   6-20 dB of the peak cut off
  noise      white, pink or brown, at --snr

Examples:
  ltx-a2a make-pairs --clean recordings --effect noise --snr 0:20 --out denoise.zip
  ltx-a2a make-pairs --clean voices.zip --effect telephone --direction apply --out telephone.zip
  ltx-a2a make-pairs --effect "highpass=f=300,acrusher=bits=6" --clean *.wav`

async function make(
  recordings: string[],
  { out, json, force, isDefaultOut, ...flags }: MakeFlags & { isDefaultOut: boolean },
  context: CommandContext,
) {
  const { output, signal, limits } = context
  const given = (flags.clean ?? []) as readonly string[]
  const settings = resolveMakePairsSettings(
    given.length + recordings.length > 0 ? { ...flags, clean: [...given, ...recordings] } : flags,
  )
  const { makePairs, madePairsMarker: marker } = await import('../dataset/make-pairs.ts')
  const { openZipOutput } = await import('./zip-output.ts')
  const file = openZipOutput(out, { inputs: settings.clean, marker, force, ...(json && { json }) })
  if (isDefaultOut && !force) await refuseOtherPairs(out, settings)
  const made = await makePairs(settings, file, { limits, signal, onEvent: output.onEvent })
  if (!file.isStdout) output.result(json ? JSON.stringify({ ...made, out }, null, 2) : out)
  const strengths = strengthsText(made.pairs)
  if (strengths !== '') output.info(`Strengths: ${strengths}. make-pairs.json in the zip has those of each pair`)
  if (made.problems.length === 0) return
  const { pairs, problems } = made
  const lines = problems.map(({ message, hint }) => `  ${message}${hint ? ` (${hint})` : ''}`)
  throw new UserError(
    `${countText(problems.length, 'recording')} of ${pairs.length + problems.length} could not be used:\n${lines.join('\n')}`,
    { hint: `${out} has the other ${countText(pairs.length, 'pair')}` },
  )
}

/**
 * Without --out, pairs of another effect are not replaced: the name was not chosen.
 * @throws UserError where the file has pairs that were made differently.
 */
async function refuseOtherPairs(out: string, { effect, direction }: MakePairsSettings) {
  const { readMadePairs } = await import('../dataset/make-pairs.ts')
  const existing = await readMadePairs(out)
  if (!existing || (existing.effect === effect && existing.direction === direction)) return
  throw new UserError(
    `${out} has ${countText(existing.pairs.length, 'pair')} with the effect ${existing.effect}, --direction ${existing.direction}`,
    { hint: 'name another file with --out, or replace it with --force' },
  )
}

/** `snrDb 25.1 to 44.3, color pink or white`: what was drawn for all pairs. */
export function strengthsText(pairs: readonly Pick<MadePair, 'strengths'>[]): string {
  const names = [...new Set(pairs.flatMap(({ strengths }) => Object.keys(strengths)))]
  const texts = names.map((name) => {
    const values = [...new Set(pairs.flatMap(({ strengths }) => strengths[name] ?? []))]
    const numbers = values.filter((value) => typeof value === 'number').sort((a, b) => a - b)
    if (numbers.length > 1) return `${name} ${numbers[0]} to ${numbers.at(-1)}`
    return `${name} ${values.join(', ')}`
  })
  return texts.join('; ')
}
