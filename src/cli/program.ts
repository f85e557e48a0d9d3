/** The command line: its commands, and the exit codes 0 done, 1 a bug of ours, 2 something to correct, 130 or 143 stopped. */
import { Command, CommanderError } from 'commander'
import { toolVersion } from '../platform/version.ts'
import { addCompletion } from './completion.ts'
import { addDoctor } from './doctor.ts'
import { addEncodeCaptions } from './encode-captions.ts'
import { addInspectDataset } from './inspect-dataset.ts'
import { addPreview } from './preview.ts'
import { addPull } from './pull.ts'
import { openOutput, reportError } from './run-command.ts'
import { addSetupTensorFlow } from './setup-tensorflow.ts'
import { addTrain } from './train.ts'

/** Runs the command of `argv` and sets the exit code. The code of a command is loaded when it runs, so `--help` is quick. */
export async function main(argv: readonly string[]): Promise<void> {
  process.stdout.on('error', exitWithReader)
  try {
    await createProgram().parseAsync(argv)
  } catch (error) {
    const output = openOutput({ jsonProgress: argv.includes('--json-progress') })
    process.exitCode = error instanceof CommanderError ? usageExitCode(error) : reportError(error, output)
  }
}

function createProgram(): Command {
  const program = new Command('ltx-a2a')
    .description('Train audio-to-audio LoRAs for LTX-2.3 from pairs of recordings, and listen to them.')
    .version(toolVersion)
    .exitOverride()
    .configureHelp({ minWidthToWrap: 30 })
    .helpCommand(false)
    .addHelpText('after', examples)
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

const examples = `
Examples:
  check the data       ltx-a2a inspect-dataset pairs.zip
  train on it          ltx-a2a train --data pairs.zip --trigger-phrase tonech4nge
  hear the result      ltx-a2a preview --lora lora.safetensors --ref voice.wav

ltx-a2a <command> --help shows the options of a command.`

/** Commander has printed the message already: help that was asked for, or a wrong flag. */
const usageExitCode = ({ exitCode }: CommanderError) => (exitCode === 0 ? 0 : 2)

/** `ltx-a2a … | head` has read enough. */
function exitWithReader(error: NodeJS.ErrnoException) {
  if (error.code === 'EPIPE') process.exit()
  throw error
}
