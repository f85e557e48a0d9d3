/** `ltx-a2a pull`: the audio path of a real checkpoint, or its text encoder, without the rest of their files. */
import type { Command } from 'commander'
import type { PullSettings } from '../setup/pull-model.ts'
import { addQuietOption, pathOption } from './options.ts'
import { runCommand } from './run-command.ts'

export function addPull(program: Command) {
  const command = program
    .command('pull')
    .summary('download the audio path of a real checkpoint')
    .description('Downloads only what is trained on: 8.5 of 46 GB. An interrupted download continues where it stopped.')
    .argument('[from]', 'repository/file of the hub, URL, or file (default: Lightricks/LTX-2.3, 22B dev)')
    .option('--text-encoder', 'download the text encoder, Gemma 3 12B, instead: from a repository, URL or folder')
    .addOption(pathOption('--out <path>', 'where to write it (default: in the folder models)'))
    .addHelpText('after', examples)
  addQuietOption(command)
  command.action((from: string | undefined, { quiet, ...settings }: PullSettings & { quiet?: true }) =>
    runCommand({ quiet }, async ({ output, signal }) => {
      const { pullModel } = await import('../setup/pull-model.ts')
      output.result(await pullModel({ ...settings, from }, { signal, onEvent: output.onEvent }))
    }),
  )
}

const examples = `
HF_TOKEN gives access to files that need a licence, HF_ENDPOINT names another hub, HTTPS_PROXY a proxy.

Examples:
  ltx-a2a pull
  ltx-a2a pull --text-encoder
  ltx-a2a pull Lightricks/LTX-2.3-fp8/ltx-2.3-22b-dev-fp8.safetensors
  ltx-a2a pull /downloads/ltx-2.3-22b-dev.safetensors --out audio.safetensors`
