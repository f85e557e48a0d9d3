/** `ltx-a2a apply`: recordings of any length, transformed with LoRAs. */
import type { Command } from 'commander'
import { applyParameters } from '../config/parameters.ts'
import { resolveApplySettings } from '../config/settings.ts'
import { UserError } from '../platform/errors.ts'
import { countText } from '../platform/text.ts'
import { addParameters, type CommandOptions, forceOption, modelInputs } from './options.ts'
import { runCommand } from './run-command.ts'

export function addApply(program: Command) {
  const command = program
    .command('apply')
    .summary('transform whole recordings with a LoRA, of any length and any number')
    .description(
      'Transforms whole recordings with a LoRA. The results have the length, level and sample rate of the recordings, and two channels. Run again after an interruption, it keeps the results that are finished.',
    )
    .addHelpText('after', examples)
  addParameters(command, applyParameters)
  command.addOption(forceOption())
  command.action(({ force, ...flags }: CommandOptions & { force?: true }) =>
    runCommand(flags, async ({ output, signal, limits }) => {
      const settings = resolveApplySettings({ flags })
      const { applyToRecordings } = await import('../apply/apply.ts')
      const { recordings } = await applyToRecordings(
        settings,
        { signal, limits, force, onEvent: output.onEvent },
        modelInputs(settings),
      )
      for (const { status, output: path } of recordings) if (status !== 'failed') output.result(path)
      const failed = recordings.filter(({ status }) => status === 'failed')
      if (failed.length === 0) return
      const list = failed.map(({ message }) => `  ${message}`).join('\n')
      throw new UserError(`${failed.length} of ${countText(recordings.length, 'recording')} failed:\n${list}`)
    }),
  )
}

const examples = `
Examples:
  ltx-a2a apply --lora lora.safetensors --in song.wav --out radio.wav
  ltx-a2a apply --lora lora.safetensors --in interviews --out restored --format flac
  ltx-a2a apply --lora lora.safetensors --in "takes/*.wav" --out radio --mix 0.7
  ltx-a2a apply --lora lora.safetensors --strength 0.7 --in song.mp3 --out radio`
