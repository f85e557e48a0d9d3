/** `ltx-a2a preview`: a recording, a prompt and LoRAs become a wav. */
import type { Command } from 'commander'
import { previewParameters } from '../config/parameters.ts'
import { resolvePreviewSettings } from '../config/settings.ts'
import { addParameters, type CommandOptions } from './options.ts'
import { runCommand } from './run-command.ts'

export function addPreview(program: Command) {
  const command = program
    .command('preview')
    .summary('transform a recording with a LoRA')
    .description(
      'Transforms a recording with a LoRA. By default, prompt and duration are those the LoRA was trained with.',
    )
    .addHelpText('after', examples)
  addParameters(command, previewParameters)
  command.action((flags: CommandOptions) =>
    runCommand(flags, async ({ output, signal, limits }) => {
      const settings = resolvePreviewSettings({ flags })
      const { renderPreview } = await import('../preview/preview.ts')
      const { encodeWav } = await import('../audio/wav.ts')
      const { replaceFile } = await import('../platform/files.ts')
      const { waveform } = await renderPreview(settings, { signal, limits, onEvent: output.onEvent })
      replaceFile(settings.out, [encodeWav(waveform)])
      output.result(settings.out)
    }),
  )
}

const examples = `
Examples:
  ltx-a2a preview --lora lora.safetensors --ref voice.wav
  ltx-a2a preview --lora lora.safetensors --lora-strength 0.7 --ref voice.wav --prompt "tonech4nge, softly"
  ltx-a2a preview --ref voice.wav --out base.wav`
