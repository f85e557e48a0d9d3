/** The command line: its commands, and the exit codes 0 done, 1 a bug of ours, 2 something to correct, 129, 130 or 143 stopped. */
import { Command, CommanderError } from 'commander'
import { toolVersion } from '../platform/version.ts'
import { addApply } from './apply.ts'
import { addCompletion } from './completion.ts'
import { addDoctor } from './doctor.ts'
import { addEncodeCaptions } from './encode-captions.ts'
import { addFixDataset } from './fix-dataset.ts'
import { addInspectDataset } from './inspect-dataset.ts'
import { addMakePairs } from './make-pairs.ts'
import { addPreview } from './preview.ts'
import { addPull } from './pull.ts'
import { openOutput, reportError } from './run-command.ts'
import { addServe } from './serve.ts'
import { addSetupTensorFlow } from './setup-tensorflow.ts'
import { addTrain } from './train.ts'
import { addWorker } from './worker.ts'

/** Runs the command of `argv` and sets the exit code. The code of a command is loaded when it runs, so `--help` is quick. */
export async function main(argv: readonly string[]): Promise<void> {
  const jsonProgress = argv.includes('--json-progress')
  process.stdout.off('error', exitWithoutReader).on('error', exitWithoutReader)
  process.stderr.off('error', ignore).on('error', ignore)
  try {
    await createProgram(jsonProgress).parseAsync(argv)
  } catch (error) {
    const output = openOutput({ jsonProgress })
    if (!(error instanceof CommanderError)) process.exitCode = reportError(error, output)
    else if (error.exitCode !== 0) {
      process.exitCode = 2
      if (jsonProgress) output.error(error.message.replace(/^error: /, ''))
    }
  }
}

/** @param jsonProgress then Commander's messages about wrong flags are not printed: they are not JSON. */
function createProgram(jsonProgress: boolean): Command {
  const program = new Command('ltx-a2a')
    .description('Train audio-to-audio LoRAs for LTX-2.3 and LTX-2.5 from pairs of recordings, and listen to them.')
    .version(toolVersion)
    .exitOverride()
    .configureOutput({ outputError: (text, write) => (jsonProgress ? undefined : write(text)) })
    .configureHelp({ minWidthToWrap: 30 })
    .helpCommand(false) // its own says nothing about an unknown command
    .addHelpText('after', examples)
  addInspectDataset(program)
  addFixDataset(program)
  addMakePairs(program)
  addTrain(program)
  addPreview(program)
  addApply(program)
  addServe(program)
  addWorker(program)
  addPull(program)
  addEncodeCaptions(program)
  addDoctor(program)
  addSetupTensorFlow(program)
  addCompletion(program)
  addHelp(program)
  return program
}

function addHelp(program: Command) {
  program
    .command('help')
    .summary('show the options of a command')
    .description('Shows the options of a command, as its --help does.')
    .argument('[command]')
    .action((name: string | undefined) => {
      const command = name === undefined ? program : program.commands.find((command) => command.name() === name)
      return command ? command.outputHelp() : program.error(`error: unknown command '${name}'`)
    })
}

const examples = `
Examples:
  check the data       ltx-a2a inspect-dataset pairs.zip
  repair it            ltx-a2a fix-dataset pairs.zip --out fixed.zip
  train on it          ltx-a2a train --data pairs.zip --trigger-phrase tonech4nge
  hear the result      ltx-a2a preview --lora lora.safetensors --ref voice.wav

ltx-a2a <command> --help shows the options of a command.`

/** `ltx-a2a … | head` has read enough, or the result cannot be written. */
function exitWithoutReader(error: NodeJS.ErrnoException): never {
  process.exit(error.code === 'EPIPE' ? undefined : reportError(error, openOutput({})))
}

/** An error of stderr, such as a closed pipe or a full disk, does not end the command. */
function ignore() {}
