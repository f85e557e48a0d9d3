/** `ltx-a2a inspect-dataset`: what a training would use, skip, trim and stretch, and why. It writes nothing but the page that was asked for. */
import { readdirSync } from 'node:fs'
import { type Command, Option } from 'commander'
import { inspectParameters } from '../config/parameters.ts'
import { type InspectSettings, resolveInspectSettings } from '../config/settings.ts'
import { UserError } from '../platform/errors.ts'
import { listText } from '../platform/text.ts'
import { addParameters, addVideoFields, type CommandOptions, configOption, forceOption, pathOption } from './options.ts'
import { type CommandContext, runCommand } from './run-command.ts'
import type { Output } from './terminal/terminal.ts'

type InspectFlags = CommandOptions & { config?: string; json?: true; html?: string; force?: true }

export function addInspectDataset(program: Command) {
  const command = program
    .command('inspect-dataset')
    .summary('report which pairs would be used, skipped, trimmed or stretched')
    .description('Shows what a training run would use, skip, trim and stretch, and why. Needs no model.')
    .argument('[dataset]', 'zip, folder or URL; otherwise pairs.zip, or the only zip, in the current folder')
    .addOption(configOption())
    .addHelpText('after', examples)
  addParameters(command, inspectParameters)
  command.addOption(new Option('--json', 'print everything as JSON').helpGroup('Output:'))
  command.addOption(pathOption('--html <file>', 'write a page to look at and listen to').helpGroup('Output:'))
  command.addOption(forceOption())
  addVideoFields(command)
  command.action((dataset: string | undefined, { config, json, html, force, ...flags }: InspectFlags) =>
    runCommand(flags, async (context) => {
      const sources = { flags: withDataset(dataset, flags), configFile: config }
      const { settings, notices } = resolveInspectSettings(sources)
      for (const notice of notices) context.output.info(notice)
      await inspect(settings, context, { json, html, force, config })
    }),
  )
}

const examples = `
Examples:
  ltx-a2a inspect-dataset
  ltx-a2a inspect-dataset pairs.zip --audio-duration-seconds 3.2
  ltx-a2a inspect-dataset pairs.zip --html dataset.html
  ltx-a2a inspect-dataset https://example.com/pairs.zip --json > dataset.json`

function withDataset(dataset: string | undefined, flags: CommandOptions): CommandOptions {
  if (dataset === undefined) return flags
  if (flags.trainingDataUrl === undefined) return { ...flags, trainingDataUrl: dataset }
  throw new UserError(`two datasets were given: ${dataset} and ${flags.trainingDataUrl}`, { hint: 'keep one of them' })
}

/** @throws UserError after the result was printed, when nothing can be trained on it. */
async function inspect(
  settings: InspectSettings,
  { output, signal, limits }: CommandContext,
  { json, html, force, config }: Pick<InspectFlags, 'json' | 'html' | 'force' | 'config'>,
) {
  const { openSource } = await import('../dataset/source.ts')
  const { assertTrainable } = await import('../dataset/dataset.ts')
  const { inspectOpenSource } = await import('../dataset/dataset.ts')
  const { datasetTable } = await import('./terminal/dataset-table.ts')
  const { datasetPageGenerator: marker, writeDatasetPage } = await import('../report/dataset-page.ts')
  const { openOutputFile } = await import('../platform/output-file.ts')
  const options = { signal, onEvent: output.onEvent }
  const location = settings.trainingDataUrl ?? datasetHere(readdirSync('.'), output)
  const page =
    html === undefined ? undefined : openOutputFile(html, { inputs: [location, config], marker, force, flag: '--html' })
  if (page?.isStdout && json)
    throw new UserError('--json and --html - both write to standard output', { hint: 'name a file with --html' })
  const source = await openSource(location, { limits, signal })
  try {
    const dataset = await inspectOpenSource(source, settings, options)
    if (!page?.isStdout)
      output.result(json ? JSON.stringify(dataset, null, 2) : datasetTable(dataset, output.resultStyle))
    if (page) await writeDatasetPage(page, dataset, source, options)
    assertTrainable(dataset)
  } finally {
    await source.close()
  }
}

/** `pairs.zip`, or the only zip among the files. */
function datasetHere(files: readonly string[], output: Output): string {
  const zips = files.filter((file) => /\.zip$/i.test(file) && !file.startsWith('.')).sort()
  const found = zips.includes('pairs.zip') ? 'pairs.zip' : zips.length === 1 ? zips[0] : undefined
  if (found !== undefined) {
    output.info(`Dataset: ${found}`)
    return found
  }
  const hint = 'name the dataset: ltx-a2a inspect-dataset <zip | folder | URL>'
  if (zips.length > 0)
    throw new UserError(`the current folder holds ${zips.length} zips: ${listText(zips, 8)}`, { hint })
  const others = files.length > 0 ? `, only ${listText([...files].sort(), 8)}` : ''
  throw new UserError(`the current folder holds no zip${others}`, { hint })
}
