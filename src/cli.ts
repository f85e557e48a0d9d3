/** The command line: three commands, and the one place where errors end. A command's code is loaded when it runs, so `--help` is quick. */
import { Command, CommanderError, Option } from 'commander'
import { hiddenOption, parameterOptions } from './commands/flags.ts'
import { inspectParameters, previewParameters, trainParameters } from './config/parameters.ts'
import { resolvePreviewSettings } from './config/preview-settings.ts'
import { resolveInspectSettings, resolveTrainSettings } from './config/train-settings.ts'
import type { Flags } from './config/values.ts'
import { videoFields } from './config/video-fields.ts'
import { UserError } from './errors.ts'
import { tellFailure } from './report/failure.ts'
import { createTerminal, type Terminal } from './report/terminal.ts'
import { toolVersion } from './version.ts'

/** Runs the command of `argv` and sets the exit code: 0 done, 1 our bug, 2 something to correct, 130 interrupted. */
export async function main(argv: readonly string[]): Promise<void> {
  process.stdout.on('error', leaveWithTheReader)
  try {
    await createProgram().parseAsync(argv)
  } catch (error) {
    process.exitCode = error instanceof CommanderError ? usageExitCode(error) : tellFailure(error, openTerminal({}))
  }
}

function createProgram(): Command {
  const program = new Command('ltx-a2a')
    .description('Train audio-to-audio LoRAs for LTX-2.3 from pairs of recordings, and hear them.')
    .version(toolVersion)
    .exitOverride()
    .configureHelp({ minWidthToWrap: 30 })
    .helpCommand(false)
    .addHelpText('after', programExamples)
  addInspectDataset(program)
  addTrain(program)
  addPreview(program)
  return program
}

const programExamples = `
Examples:
  look at the data     ltx-a2a inspect-dataset pairs.zip
  train on it          ltx-a2a train --data pairs.zip --trigger-phrase tonech4nge
  hear the result      ltx-a2a preview --lora lora.safetensors --ref voice.wav

ltx-a2a <command> --help shows what a command can be told.`

function addInspectDataset(program: Command) {
  const command = program
    .command('inspect-dataset')
    .summary('what would be used, skipped, trimmed, stretched, and why')
    .description('Shows what a training would use, skip, trim and stretch, and why. Needs no model.')
    .argument('[dataset]', 'zip, folder or URL; otherwise pairs.zip, or the only zip, in the current folder')
    .addOption(configOption())
    .addHelpText('after', inspectExamples)
  addParameters(command, inspectParameters)
  command.addOption(new Option('--json', 'print everything as JSON').helpGroup('Output:'))
  withVideoFields(command).action(async (dataset: string | undefined, options: InspectOptions) => {
    const { config, json, ...flags } = withPositional(dataset, options)
    await withTerminal(options, async (terminal) => {
      const { settings, notices } = resolveInspectSettings({ flags, configFile: config })
      for (const notice of notices) terminal.note(notice)
      const { runInspectDataset } = await import('./commands/inspect-dataset.ts')
      await runInspectDataset(settings, terminal, { json })
    })
  })
}

const inspectExamples = `
Examples:
  ltx-a2a inspect-dataset
  ltx-a2a inspect-dataset pairs.zip --audio-duration-seconds 3.2
  ltx-a2a inspect-dataset https://example.com/pairs.zip --json > dataset.json`

function addTrain(program: Command) {
  const command = program
    .command('train')
    .summary('pairs of recordings become a LoRA')
    .description('Trains a LoRA that makes <name>_end out of <name>_start, for every pair of the dataset.')
    .addOption(configOption())
    .addOption(
      new Option('--resume <folder>', 'go on with a run that was interrupted; "latest" is the last one').helpGroup(job),
    )
    .addHelpText('after', trainExamples)
  addParameters(command, trainParameters)
  command.addOption(new Option('--dev-allow-few-steps').hideHelp())
  withVideoFields(command).action(async ({ config, resume, ...flags }: TrainOptions) => {
    await withTerminal(flags, async (terminal) => {
      if (resume !== undefined) {
        refuseBoth(config, resume)
        const { resumeTrain } = await import('./commands/resume.ts')
        return resumeTrain(resume, flags, terminal)
      }
      const { settings, notices } = resolveTrainSettings({ flags, configFile: config })
      for (const notice of notices) terminal.note(notice)
      const { runTrain } = await import('./commands/train.ts')
      await runTrain(settings, terminal)
    })
  })
}

const trainExamples = `
A job file is a JSON object of the same parameters with _ for -: number_of_steps, training_data_url. Its
paths are looked for in the current folder, then beside the file. Flags win over it. Its video fields
(resolution, number_of_frames …) are accepted and have no effect.

Examples:
  ltx-a2a train --data pairs.zip --trigger-phrase tonech4nge
  ltx-a2a train --config job.json --rank 64 --out runs/rank-64
  ltx-a2a train --data pairs --validation-reference voice.wav --validation-prompt tonech4nge
  ltx-a2a train --resume latest`

function addPreview(program: Command) {
  const command = program
    .command('preview')
    .summary('a recording, a prompt and a LoRA become a wav')
    .description('Transforms a recording with a LoRA. Its prompt and duration are the ones it was trained with.')
    .addHelpText('after', previewExamples)
  addParameters(command, previewParameters)
  command.action(async (flags: Options) => {
    await withTerminal(flags, async (terminal) => {
      const settings = resolvePreviewSettings({ flags })
      const { runPreview } = await import('./commands/preview.ts')
      await runPreview(settings, terminal)
    })
  })
}

const previewExamples = `
Examples:
  ltx-a2a preview --lora lora.safetensors --ref voice.wav
  ltx-a2a preview --lora lora.safetensors --lora-strength 0.7 --ref voice.wav --prompt "tonech4nge, softly"
  ltx-a2a preview --ref voice.wav --out base.wav`

type Options = Flags & { quiet?: true }
type TrainOptions = Options & { config?: string; resume?: string }
type InspectOptions = Options & { config?: string; json?: true }

const job = 'Job:'

const configOption = () =>
  new Option('--config <job.json>', 'read parameters from a job file; flags win over it').helpGroup(job)

function addParameters(command: Command, table: Parameters<typeof parameterOptions>[0]) {
  for (const option of parameterOptions(table)) command.addOption(option)
  command.option('-q, --quiet', 'errors and the result only')
}

function withVideoFields(command: Command): Command {
  for (const name of videoFields) command.addOption(hiddenOption(name, '[value]'))
  return command
}

function withPositional(dataset: string | undefined, options: InspectOptions): InspectOptions {
  if (dataset === undefined) return options
  if (options.trainingDataUrl === undefined) return { ...options, trainingDataUrl: dataset }
  throw new UserError(`two datasets were given: ${dataset} and ${options.trainingDataUrl}`, {
    hint: 'keep one of them',
  })
}

function refuseBoth(config: string | undefined, resume: string) {
  if (config === undefined) return
  throw new UserError(`both --config ${config} and --resume ${resume} were given`, {
    hint: 'a run goes on with its own parameters: leave --config out',
  })
}

const openTerminal = ({ quiet = false }: { quiet?: boolean }) =>
  createTerminal({ stdout: process.stdout, stderr: process.stderr, env: process.env, quiet })

async function withTerminal(options: { quiet?: boolean }, work: (terminal: Terminal) => Promise<void>) {
  const terminal = openTerminal(options)
  try {
    await work(terminal)
  } finally {
    terminal.close()
  }
}

/** Commander has spoken already: help that was asked for, or a flag that is wrong. */
const usageExitCode = ({ exitCode }: CommanderError) => (exitCode === 0 ? 0 : 2)

/** `ltx-a2a … | head` has read enough. */
function leaveWithTheReader(error: NodeJS.ErrnoException) {
  if (error.code === 'EPIPE') process.exit()
  throw error
}
