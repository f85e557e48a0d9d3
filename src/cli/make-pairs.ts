/** `ltx-a2a make-pairs`: pairs from clean recordings and an effect. */
import { type Command, Option } from 'commander'
import { makePairsParameters } from '../config/parameters.ts'
import { resolveMakePairsSettings } from '../config/settings.ts'
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
  command.addOption(pathOption('--out <file>', 'the zip to write').default('pairs.zip').helpGroup('Output:'))
  command.addOption(new Option('--json', 'print the pairs and their strengths as JSON').helpGroup('Output:'))
  command.addOption(forceOption())
  command.action((recordings: string[], flags: MakeFlags) =>
    runCommand(flags, (context) => make(recordings, flags, context)),
  )
}

const examples = `
Strengths, drawn for each pair:
  telephone  from 250-400 to 2800-3600 Hz, noise at 25-45 dB, 8 kHz mu-law
  radio      from 150-400 to 2500-5000 Hz, 3-15 dB of drive, noise at 15-35 dB
  vinyl      from 25-60 to 7000-14000 Hz, noise at 25-45 dB, 2-25 clicks per second
  room       reverberation time 0.3-1.2 s, direct sound -3 to 9 dB above the reverberation
  mp3-64k    64 kbit/s
  clipping   6-20 dB of the peak cut off
  noise      white, pink or brown, at --snr

Examples:
  ltx-a2a make-pairs --clean recordings --effect noise --snr 0:20 --out denoise.zip
  ltx-a2a make-pairs --clean voices.zip --effect telephone --direction apply --out telephone.zip
  ltx-a2a make-pairs --effect "highpass=f=300,acrusher=bits=6" --clean *.wav`

async function make(recordings: string[], { out, json, force, ...flags }: MakeFlags, context: CommandContext) {
  const { output, signal, limits } = context
  const given = (flags.clean ?? []) as readonly string[]
  const settings = resolveMakePairsSettings(
    given.length + recordings.length > 0 ? { ...flags, clean: [...given, ...recordings] } : flags,
  )
  const { makePairs, madePairsMarker: marker } = await import('../dataset/make-pairs.ts')
  const { openOutputFile } = await import('../platform/output-file.ts')
  const file = openOutputFile(out, { inputs: settings.clean, marker, force })
  if (file.isStdout && (json || process.stdout.isTTY))
    throw new UserError(`the zip would be written to ${json ? 'the same place as --json' : 'the terminal'}`, {
      hint: 'name a file with --out',
    })
  const made = await makePairs(settings, file, { limits, signal, onEvent: output.onEvent })
  if (!file.isStdout) output.result(json ? JSON.stringify({ ...made, out }, null, 2) : out)
  if (made.problems.length === 0) return
  const { pairs, problems } = made
  const lines = problems.map(({ message, hint }) => `  ${message}${hint ? ` (${hint})` : ''}`)
  throw new UserError(
    `${countText(problems.length, 'recording')} of ${pairs.length + problems.length} could not be used:\n${lines.join('\n')}`,
    { hint: `${out} has the other ${countText(pairs.length, 'pair')}` },
  )
}
