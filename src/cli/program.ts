/** The command line: its commands, and the one place where errors end. A command's code is loaded when it runs, so `--help` is quick. */
import { Argument, Command, CommanderError, Option } from 'commander'
import { raiseLimits } from '../config/limits.ts'
import {
  encodeParameters,
  inspectParameters,
  previewParameters,
  trainParameters,
  videoFields,
} from '../config/parameters.ts'
import {
  resolveEncodeSettings,
  resolveInspectSettings,
  resolvePreviewSettings,
  resolveTrainSettings,
} from '../config/settings.ts'
import type { Flags } from '../config/values.ts'
import { UserError } from '../platform/errors.ts'
import { toolVersion } from '../platform/version.ts'
import { completionScript, type Shell, shells } from './completion.ts'
import type { DoctorOptions } from './doctor.ts'
import { hiddenOption, parameterOptions } from './options.ts'
import type { PullSettings } from './pull.ts'
import { tellFailure } from './report-error.ts'
import type { SetupTensorFlowOptions } from './setup-tensorflow.ts'
import { createJsonTerminal } from './terminal/json-terminal.ts'
import { createTerminal, type Terminal } from './terminal/terminal.ts'

/** Runs the command of `argv` and sets the exit code: 0 done, 1 our bug, 2 something to correct, 130 interrupted. */
export async function main(argv: readonly string[]): Promise<void> {
  process.stdout.on('error', leaveWithTheReader)
  try {
    await createProgram().parseAsync(argv)
  } catch (error) {
    process.exitCode =
      error instanceof CommanderError ? usageExitCode(error) : tellFailure(error, openTerminal(talkOf(argv)))
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
  addPull(program)
  addEncodeCaptions(program)
  addDoctor(program)
  addSetupTensorFlow(program)
  addCompletion(program)
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
  command.addOption(new Option('--html <file>', 'write a page to look at and listen to').helpGroup('Output:'))
  withVideoFields(command).action(async (dataset: string | undefined, options: InspectOptions) => {
    const { config, json, html, ...flags } = withPositional(dataset, options)
    await withTerminal(options, async (terminal) => {
      const { settings, notices } = resolveInspectSettings({ flags, configFile: config })
      for (const notice of notices) terminal.note(notice)
      const { runInspectDataset } = await import('./inspect-dataset.ts')
      await runInspectDataset(settings, terminal, { json, html })
    })
  })
}

const inspectExamples = `
Examples:
  ltx-a2a inspect-dataset
  ltx-a2a inspect-dataset pairs.zip --audio-duration-seconds 3.2
  ltx-a2a inspect-dataset pairs.zip --html dataset.html
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
  command.addOption(new Option('--dry-run', 'only show what it would take of this machine').helpGroup(job))
  command.addOption(new Option('--dev-allow-few-steps').hideHelp())
  withVideoFields(command).action(async ({ config, resume, dryRun, ...flags }: TrainOptions) => {
    await withTerminal(flags, async (terminal) => {
      if (resume !== undefined) {
        refuseBoth(config, resume)
        if (dryRun) throw new UserError('--dry-run and --resume were both given', { hint: 'keep one of them' })
        const { resumeTrain } = await import('./train.ts')
        return resumeTrain(resume, flags, terminal)
      }
      const { settings, notices } = resolveTrainSettings({ flags, configFile: config })
      for (const notice of notices) terminal.note(notice)
      const { runTrain } = await import('./train.ts')
      await runTrain(settings, terminal, { dryRun })
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
      const { runPreview } = await import('./preview.ts')
      await runPreview(settings, terminal)
    })
  })
}

const previewExamples = `
Examples:
  ltx-a2a preview --lora lora.safetensors --ref voice.wav
  ltx-a2a preview --lora lora.safetensors --lora-strength 0.7 --ref voice.wav --prompt "tonech4nge, softly"
  ltx-a2a preview --ref voice.wav --out base.wav`

function addPull(program: Command) {
  program
    .command('pull')
    .summary('the audio path of a real checkpoint, without the rest of it')
    .description('Fetches only what is trained on: 8.5 of 46 GB. Interrupted, it goes on where it stopped.')
    .argument('[from]', 'repository/file of the hub, URL, or file (default: Lightricks/LTX-2.3, 22B dev)')
    .option('--text-encoder', 'fetch the text tower of Gemma 3 12B instead, from a repository, URL or folder')
    .option('--out <path>', 'where it goes (default: in the folder models)')
    .option('-q, --quiet', 'errors and the result only')
    .addHelpText('after', pullExamples)
    .action(async (from: string | undefined, { quiet, ...options }: PullSettings & { quiet?: true }) => {
      await withTerminal({ quiet }, async (terminal) => {
        const { runPull } = await import('./pull.ts')
        await runPull({ ...options, from }, terminal)
      })
    })
}

const pullExamples = `
HF_TOKEN opens what asks for a licence, HF_ENDPOINT names another hub, HTTPS_PROXY a proxy.

Examples:
  ltx-a2a pull
  ltx-a2a pull --text-encoder
  ltx-a2a pull Lightricks/LTX-2.3-fp8/ltx-2.3-22b-dev-fp8.safetensors
  ltx-a2a pull /downloads/ltx-2.3-22b-dev.safetensors --out audio.safetensors`

function addEncodeCaptions(program: Command) {
  const command = program
    .command('encode-captions')
    .summary('captions as a file, for a machine without the text encoder')
    .description('Encodes the captions and prompts of a job, so that it can be trained where the text encoder is not.')
    .addOption(configOption())
    .addHelpText('after', encodeExamples)
  addParameters(command, encodeParameters)
  command.option('--out <file>', 'where they go', 'captions.safetensors')
  withVideoFields(command).action(async ({ config, out, ...flags }: EncodeOptions) => {
    await withTerminal(flags, async (terminal) => {
      const { settings, notices } = resolveEncodeSettings({ flags, configFile: config, out })
      for (const notice of notices) terminal.note(notice)
      const { runEncodeCaptions } = await import('./encode-captions.ts')
      await runEncodeCaptions(settings, terminal)
    })
  })
}

const encodeExamples = `
Examples:
  ltx-a2a encode-captions --data pairs.zip --trigger-phrase tonech4nge \\
    --model models/ltx-2.3-22b-dev-audio.safetensors --text-encoder models/gemma-3-12b-it-qat-q4_0-unquantized
  ltx-a2a encode-captions --config job.json --out captions.safetensors`

function addDoctor(program: Command) {
  program
    .command('doctor')
    .summary('what this machine brings to a training, and what is missing')
    .description('Shows what computes here and how fast, and what is missing. It changes nothing.')
    .addOption(
      new Option('--model <file>', 'look at this LTX-2.3 checkpoint (default: the small bundled base)').argParser(
        (path, before?: string) => (before === undefined ? path : `${before},${path}`),
      ),
    )
    .addOption(
      new Option('--backend <name>', 'what shall compute')
        .choices(['auto', 'tensorflow', 'wasm', 'cpu'])
        .default('auto'),
    )
    .option('--json', 'print everything as JSON')
    .option('-q, --quiet', 'errors and the result only')
    .action(async ({ quiet, ...options }: DoctorOptions & { quiet?: true }) => {
      await withTerminal({ quiet }, async (terminal) => {
        const { runDoctor } = await import('./doctor.ts')
        await runDoctor(options, terminal)
      })
    })
}

function addSetupTensorFlow(program: Command) {
  program
    .command('setup-tensorflow')
    .summary('a current native TensorFlow, for the 22B model')
    .description('Puts a current TensorFlow under tfjs-node: many times as fast as WebAssembly. Needs a C++ compiler.')
    .option('--from <path>', "folder, .tar.gz or .whl of TensorFlow (default: Python's, otherwise pip downloads it)")
    .option('--python <exe>', 'the Python to ask (default: python3)')
    .option('--undo', 'remove what was set up')
    .option('-q, --quiet', 'errors and the result only')
    .addHelpText('after', setupExamples)
    .action(async ({ quiet, ...options }: SetupTensorFlowOptions & { quiet?: true }) => {
      await withTerminal({ quiet }, async (terminal) => {
        const { runSetupTensorFlow } = await import('./setup-tensorflow.ts')
        await runSetupTensorFlow(options, terminal)
      })
    })
}

const setupExamples = `
Examples:
  ltx-a2a setup-tensorflow
  ltx-a2a setup-tensorflow --python .venv/bin/python
  ltx-a2a setup-tensorflow --from libtensorflow-gpu-linux-x86_64.tar.gz
  ltx-a2a setup-tensorflow --undo`

function addCompletion(program: Command) {
  program
    .command('completion')
    .summary('commands and flags for the Tab key of a shell')
    .description('Prints what makes a shell complete our commands and flags.')
    .addArgument(new Argument('<shell>').choices(shells))
    .addHelpText('after', completionExamples)
    .action(async (shell: Shell) => {
      await withTerminal({}, async (terminal) => terminal.result(completionScript(shell, program)))
    })
}

const completionExamples = `
Examples:
  ltx-a2a completion bash >> ~/.bashrc
  ltx-a2a completion zsh >> ~/.zshrc
  ltx-a2a completion fish > ~/.config/fish/completions/ltx-a2a.fish`

type Options = Flags & Talk
/** How the tool talks. */
type Talk = { quiet?: boolean | undefined; jsonProgress?: boolean | undefined }
type TrainOptions = Options & { config?: string; resume?: string; dryRun?: true }
type EncodeOptions = Options & { config?: string; out: string }
type InspectOptions = Options & { config?: string; json?: true; html?: string }

const job = 'Job:'

const configOption = () =>
  new Option('--config <job.json>', 'read parameters from a job file; flags win over it').helpGroup(job)

function addParameters(command: Command, table: Parameters<typeof parameterOptions>[0]) {
  for (const option of parameterOptions(table)) command.addOption(option)
  command.option('-q, --quiet', 'errors and the result only')
  command.option('--json-progress', 'progress and messages as lines of JSON, for programs')
  command.addOption(new Option('--limit <name=number>').argParser(collected).hideHelp()) // the refusals name it
  command.hook('preAction', () => raiseLimits([process.env.LTX_A2A_LIMITS ?? '', ...(command.opts().limit ?? [])]))
}

const collected = (text: string, before: string[] = []) => [...before, text]

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

const openTerminal = ({ quiet = false, jsonProgress = false }: Talk) => {
  const { stdout, stderr, env } = process
  return jsonProgress ? createJsonTerminal({ stdout, stderr, quiet }) : createTerminal({ stdout, stderr, env, quiet })
}

/** For what is said when no command may have begun. */
const talkOf = (argv: readonly string[]): Talk => ({ jsonProgress: argv.includes('--json-progress') })

async function withTerminal(options: Talk, work: (terminal: Terminal) => Promise<void>) {
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
