/** `ltx-a2a preview`: a recording, a prompt and LoRAs become a sound file. */
import type { Command } from 'commander'
import { previewParameters } from '../config/parameters.ts'
import { modelInputs, resolvePreviewSettings } from '../config/settings.ts'
import { UserError } from '../platform/errors.ts'
import { addParameters, type CommandOptions, forceOption } from './options.ts'
import { runCommand } from './run-command.ts'

export function addPreview(program: Command) {
  const command = program
    .command('preview')
    .summary('transform a recording with a LoRA')
    .description(
      'Transforms a recording with a LoRA. By default the prompt is the trigger phrase of the LoRA, and the result is as long as the recording, at most as long as a clip of the training.',
    )
    .addHelpText('after', examples)
  addParameters(command, previewParameters)
  command.addOption(forceOption())
  command.action(({ force, ...flags }: CommandOptions & { force?: true }) =>
    runCommand(flags, async ({ output, signal, limits }) => {
      const settings = resolvePreviewSettings({ flags })
      const { renderPreview } = await import('../preview/preview.ts')
      const { soundEncoder } = await import('../audio/encode.ts')
      const { openOutputFile } = await import('../platform/output-file.ts')
      const inputs = [settings.reference, ...settings.loras.map(({ path }) => path), ...modelInputs(settings)]
      const file = openOutputFile(settings.out, { inputs, marker, force })
      if (file.isStdout && process.stdout.isTTY)
        throw new UserError('the sound would be written to the terminal', { hint: 'name a file with --out' })
      const encode = await soundEncoder(settings.out, marker)
      const { waveform } = await renderPreview(settings, { signal, limits, onEvent: output.onEvent })
      await file.write([await encode(waveform, limits)], signal)
      if (!file.isStdout) output.result(settings.out)
    }),
  )
}

/** Written into the file, so that the next preview may replace it. */
const marker = 'ltx-a2a preview'

const examples = `
Examples:
  ltx-a2a preview --lora lora.safetensors --ref voice.wav
  ltx-a2a preview --lora lora.safetensors --lora-strength 0.7 --ref voice.wav --prompt "tonech4nge, softly"
  ltx-a2a preview --lora lora.safetensors --ref voice.wav --out radio.mp3
  ltx-a2a preview --ref voice.wav --out base.wav`
