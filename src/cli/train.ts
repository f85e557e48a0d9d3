/** `ltx-a2a train`: pairs of recordings become a LoRA. */
import { existsSync } from 'node:fs'
import { type Command, Option } from 'commander'
import { trainParameters } from '../config/parameters.ts'
import { resolveTrainSettings } from '../config/settings.ts'
import { UserError } from '../platform/errors.ts'
import { countText, durationText, roughText, sizeText } from '../platform/text.ts'
import type { TrainEvent } from '../train/events.ts'
import type { RunEstimate } from '../train/requirements.ts'
import type { TrainResult, TrainRunOptions } from '../train/train.ts'
import {
  addParameters,
  addVideoFields,
  type CommandOptions,
  configOption,
  jobGroup,
  pathOption,
  stopWithStdinOption,
} from './options.ts'
import { type CommandContext, runCommand } from './run-command.ts'

type TrainFlags = CommandOptions & { config?: string; resume?: string; dryRun?: true }

export function addTrain(program: Command) {
  const command = program
    .command('train')
    .summary('train a LoRA on pairs of recordings')
    .description('Trains a LoRA that turns <name>_start into <name>_end, on every pair of the dataset.')
    .addOption(configOption())
    .addOption(
      pathOption('--resume <folder>', 'continue an interrupted run; "latest" is the newest one').helpGroup(jobGroup),
    )
    .addHelpText('after', examples)
  addParameters(command, trainParameters)
  command.addOption(new Option('--dry-run', 'only show what the run would need').helpGroup(jobGroup))
  command.addOption(new Option('--dev-allow-few-steps').hideHelp()) // has no effect: few steps are always allowed
  command.addOption(stopWithStdinOption())
  addVideoFields(command)
  command.action((flags: TrainFlags) => runCommand(flags, (context) => run(flags, context), stopping))
}

const stopping = 'stopping after this step; Ctrl-C again leaves at once'

const examples = `
A job file is a JSON object of the same parameters with _ instead of -: number_of_steps, training_data_url.
Its paths are looked up in the current folder first, then beside the file. Flags win over it. Its video
fields (resolution, number_of_frames …) are accepted and have no effect.

Examples:
  ltx-a2a train --data pairs.zip --trigger-phrase tonech4nge
  ltx-a2a train --config job.json --rank 64 --out runs/rank-64
  ltx-a2a train --data pairs --validation-reference voice.wav --validation-prompt tonech4nge
  ltx-a2a train --resume latest`

/** Few clips are reconstructed: enough to hear what the autoencoder and the renderer preserve. */
const reconstructions = 2

async function run({ config, resume, dryRun, ...flags }: TrainFlags, { output, signal, limits }: CommandContext) {
  refuseWithResume(resume, { config, dryRun })
  const { dryRun: estimate, resumeTraining, startTraining } = await import('../train/train.ts')
  if (resume === undefined) {
    const { settings, notices } = resolveTrainSettings({ flags, configFile: config })
    const options = { signal, limits, onEvent: output.onEvent }
    if (dryRun) return output.result(estimateText(await estimate(settings, notices, options)))
    return printResult(await startTraining(settings, notices, await withReports()))
  }
  return printResult(await resumeTraining(resume, { flags }, await withReports()))

  function printResult(result: TrainResult) {
    output.info(summary(result))
    output.result(result.folder.path)
  }

  async function withReports(): Promise<TrainRunOptions> {
    const { createRunReport } = await import('../report/run-report.ts')
    const { createTensorBoardListener } = await import('../report/tensorboard.ts')
    const messages = { onInfo: output.info, onWarning: output.warn }
    const [report, tensorBoard] = [createRunReport(messages), createTensorBoardListener(messages)]
    const onEvent = (event: TrainEvent) => {
      output.onEvent(event)
      tensorBoard(event)
      return report(event)
    }
    return { signal, limits, reconstructions, onEvent }
  }
}

function refuseWithResume(resume: string | undefined, { config, dryRun }: Pick<TrainFlags, 'config' | 'dryRun'>) {
  if (resume === undefined) return
  if (config !== undefined)
    throw new UserError(`both --config ${config} and --resume ${resume} were given`, {
      hint: 'a run continues with its own parameters: leave --config out',
    })
  if (dryRun) throw new UserError('--dry-run and --resume were both given', { hint: 'keep one of them' })
}

export const estimateText = ({
  steps,
  secondsPerStep,
  trainingSeconds,
  previews,
  previewSeconds,
  evaluationSeconds,
  peakMemoryBytes,
}: RunEstimate) =>
  [
    `Time: ${roughText(secondsPerStep)} s a step, ${durationText(trainingSeconds)} for ${countText(steps, 'step')}`,
    ...(previews > 0 ? [`Previews: about ${durationText(previewSeconds)} for ${previews} of them`] : []),
    ...(evaluationSeconds > 0 ? [`Evaluations on held-out pairs: about ${durationText(evaluationSeconds)}`] : []),
    ...(previewSeconds + evaluationSeconds > 0
      ? [`In all: about ${durationText(trainingSeconds + previewSeconds + evaluationSeconds)}`]
      : []),
    `Memory at its peak so far: ${sizeText(peakMemoryBytes)}`,
  ].join('\n')

/** The price of fal-ai/ltx23-trainer-v2/a2a, and the fewest steps of a job there. */
const hostedPrice = { dollarsPerStep: 0.0023, asOf: 'November 2026' }
const hostedMinimumSteps = 100

/** The last message of a run: its files, its time, and what the hosted trainer of fal.ai charges for as many steps. */
export function summary({ folder, steps, seconds }: TrainResult): string {
  const { lora, best, audio, report, config, metrics, debugDataset } = folder
  const files = [lora, folder.average(lora), best, audio, report, config, metrics, debugDataset].filter((path) =>
    existsSync(path),
  )
  const dollars = (steps * hostedPrice.dollarsPerStep).toFixed(2)
  const price = ` fal.ai's hosted trainer of LTX-2.3 charges $${dollars} for as many steps (${hostedPrice.asOf}).`
  return `Done in ${durationText(seconds)}: ${files.join(', ')}.${steps < hostedMinimumSteps ? '' : price}`
}
