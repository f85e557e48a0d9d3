/** `ltx-a2a encode-captions`: the captions of a job as a file, for a machine without the text encoder. */
import type { Command } from 'commander'
import { encodeParameters } from '../config/parameters.ts'
import { resolveEncodeSettings } from '../config/settings.ts'
import { addParameters, addVideoFields, type CommandOptions, configOption } from './options.ts'
import { runCommand } from './run-command.ts'

type EncodeFlags = CommandOptions & { config?: string; out: string }

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
  command.option('--out <file>', 'the file to write', 'captions.safetensors')
  addVideoFields(command)
  command.action(({ config, out, ...flags }: EncodeFlags) =>
    runCommand(flags, async ({ output, signal, limits }) => {
      const { settings, notices } = resolveEncodeSettings({ flags, configFile: config, out })
      for (const notice of notices) output.info(notice)
      const { encodeCaptionsToFile } = await import('../encode/captions.ts')
      await encodeCaptionsToFile(settings, { signal, limits, onEvent: output.onEvent })
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
