/** `ltx-a2a apply`: recordings of any length, transformed with LoRAs. */
import type { Command } from 'commander'
import type { ApplyEvent } from '../apply/apply.ts'
import { applyParameters } from '../config/parameters.ts'
import { resolveApplySettings } from '../config/settings.ts'
import { UserError } from '../platform/errors.ts'
import { countText } from '../platform/text.ts'
import { addParameters, type CommandOptions, forceOption, stopWithStdinOption } from './options.ts'
import { runCommand } from './run-command.ts'

export function addApply(program: Command) {
  const command = program
    .command('apply')
    .summary('transform whole recordings with a LoRA, of any length and any number')
    .description(
      'Transforms whole recordings with a LoRA. The results have the length and sample rate of the recordings, and two channels. Run again after an interruption, it keeps the results that are finished.',
    )
    .argument('[recordings...]', 'as with --in')
    .addHelpText('after', examples)
  addParameters(command, applyParameters)
  command.addOption(forceOption())
  command.addOption(stopWithStdinOption())
  command.action((names: readonly string[], { force, ...flags }: CommandOptions & { force?: true }) =>
    runCommand(flags, async ({ output, signal, limits }) => {
      const settings = resolveApplySettings({ flags: withRecordings(names, flags) })
      const { applyToRecordings } = await import('../apply/apply.ts')
      const onEvent = (event: ApplyEvent) => {
        output.onEvent(event)
        if (event.type === 'recording' && event.status !== 'failed') output.result(event.output)
      }
      const { recordings } = await applyToRecordings(settings, { signal, limits, force, onEvent })
      const failed = recordings.filter(({ status }) => status === 'failed')
      if (failed.length === 0) return
      const list = failed.map(({ message }) => `  ${message}`).join('\n')
      throw new UserError(`${failed.length} of ${countText(recordings.length, 'recording')} failed:\n${list}`)
    }),
  )
}

function withRecordings(names: readonly string[], flags: CommandOptions): CommandOptions {
  const given = flags.inputs
  return names.length === 0 ? flags : { ...flags, inputs: [...names, ...(Array.isArray(given) ? given : [])] }
}

const examples = `
Examples:
  ltx-a2a apply song.wav --lora lora.safetensors --out radio.wav
  ltx-a2a apply --lora lora.safetensors --in interviews --out restored --format flac
  ltx-a2a apply --lora lora.safetensors --in "takes/*.wav" --out radio --mix 0.7
  ltx-a2a apply --lora lora.safetensors --strength 0.7 --in song.mp3 --out radio`
