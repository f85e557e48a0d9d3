/** `ltx-a2a fix-dataset`: does to a copy of a dataset what the inspection advises. */
import { type Command, Option } from 'commander'
import { fixParameters } from '../config/parameters.ts'
import { resolveFixSettings } from '../config/settings.ts'
import { UserError } from '../platform/errors.ts'
import { addParameters, type CommandOptions, forceOption, pathOption } from './options.ts'
import { type CommandContext, runCommand } from './run-command.ts'

type FixFlags = CommandOptions & { out?: string; dryRun?: true; json?: true; force?: true }

export function addFixDataset(program: Command) {
  const command = program
    .command('fix-dataset')
    .summary('align, level and clean up a dataset, as a new zip')
    .description(
      'Does to a copy of a dataset what inspect-dataset advises: removes lags and drift between the sides of a pair, trims silence that both sides have at an end, makes the pairs equally loud, gives them valid names, and moves silent, clipped, duplicate, unreadable and one-sided pairs to the folder rejected/ of the new zip. Files that need no change are copied as they are. The exit code is 0 also where pairs are rejected, and 2 where none is left.',
    )
    .argument('<dataset>', 'zip, folder or URL; it is not changed')
    .addHelpText('after', examples)
  addParameters(command, fixParameters)
  command.addOption(pathOption('--out <zip>', 'the zip to write').helpGroup('Output:'))
  command.addOption(new Option('--dry-run', 'show what would be done, and write nothing').helpGroup('Output:'))
  command.addOption(new Option('--json', 'print what is done to each file as JSON').helpGroup('Output:'))
  command.addOption(forceOption())
  command.action((dataset: string, flags: FixFlags) => runCommand(flags, (context) => fix(dataset, flags, context)))
}

const examples = `
Examples:
  ltx-a2a fix-dataset pairs.zip --dry-run
  ltx-a2a fix-dataset pairs.zip --out fixed.zip
  ltx-a2a fix-dataset recordings --out fixed.zip --keep clipped`

async function fix(
  dataset: string,
  { out, dryRun, json, force, ...flags }: FixFlags,
  { output, signal, limits }: CommandContext,
) {
  const settings = resolveFixSettings(flags)
  const { openSource } = await import('../dataset/source.ts')
  const { fixDataset, fixedDatasetMarker: marker } = await import('../dataset/repair/fix-dataset.ts')
  const { openZipOutput } = await import('./zip-output.ts')
  const { fixText } = await import('./terminal/fix-text.ts')
  if (out === undefined && !dryRun)
    throw new UserError('--out is missing', { hint: 'name the zip to write with --out, or use --dry-run' })
  const file =
    out === undefined || (dryRun && out === '-')
      ? undefined
      : openZipOutput(out, { inputs: [dataset], marker, force, ...(json && !dryRun && { json }) })
  const source = await openSource(dataset, { limits, signal })
  try {
    const plan = await fixDataset(source, settings, dryRun ? undefined : file, { signal, onEvent: output.onEvent })
    if (file?.isStdout && !dryRun) return
    const written = dryRun ? null : (out ?? null)
    output.result(
      json ? JSON.stringify({ ...plan, out: written }, null, 2) : fixText(plan, written, output.resultStyle),
    )
  } finally {
    await source.close()
  }
}
