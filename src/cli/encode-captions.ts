/** `ltx-a2a encode-captions`: the captions of a job as a file, for a machine without the text encoder. */
import type { Command } from 'commander'
import { encodeParameters } from '../config/parameters.ts'
import { modelInputs, resolveEncodeSettings } from '../config/settings.ts'
import { addParameters, addVideoFields, type CommandOptions, configOption, forceOption, pathOption } from './options.ts'
import { runCommand } from './run-command.ts'

type EncodeFlags = CommandOptions & { config?: string; out: string; force?: true }

export function addEncodeCaptions(program: Command) {
  const command = program
    .command('encode-captions')
    .summary('encode captions for a machine without the text encoder')
    .description(
      'Encodes the captions and prompts of a job, so that a machine without the text encoder can train on it.',
    )
    .addOption(configOption())
    .addHelpText('after', examples)
  addParameters(command, encodeParameters)
  command.addOption(
    pathOption('--out <file>', 'the file to write').default('captions.safetensors').helpGroup('Output:'),
  )
  command.addOption(forceOption())
  addVideoFields(command)
  command.action(({ config, out, force, ...flags }: EncodeFlags) =>
    runCommand(flags, async ({ output, signal, limits }) => {
      const { settings, notices } = resolveEncodeSettings({ flags, configFile: config, out })
      for (const notice of notices) output.info(notice)
      const { encodeCaptionsToFile, textEmbeddingsKind: marker } = await import('../encode/captions.ts')
      const { openOutputFile } = await import('../platform/output-file.ts')
      const references = settings.validation.map(({ referenceAudioUrl }) => referenceAudioUrl)
      const inputs = [settings.trainingDataUrl, settings.holdoutData, config, ...references, ...modelInputs(settings)]
      const file = openOutputFile(settings.out, { inputs, marker, force })
      await encodeCaptionsToFile(settings, file, { signal, limits, onEvent: output.onEvent })
      if (file.isStdout) return
      output.info(`Use them with --text-embeddings ${settings.out}`)
      output.result(settings.out)
    }),
  )
}

const examples = `
Examples:
  ltx-a2a encode-captions --data pairs.zip --trigger-phrase tonech4nge \\
    --model models/ltx-2.3-22b-dev-audio.safetensors --text-encoder models/gemma-3-12b-it-qat-q4_0-unquantized
  ltx-a2a encode-captions --config job.json --out captions.safetensors`
