/** `ltx-a2a pull`: the audio path of a real base and its text encoder, without the rest of their files. */
import { type Command, Option } from 'commander'
import type { PullSettings } from '../setup/pull/settings.ts'
import { addQuietOption, pathOption } from './options.ts'
import { runCommand } from './run-command.ts'

export function addPull(program: Command) {
  const command = program
    .command('pull')
    .summary('download the audio path of a real checkpoint')
    .description(
      'Downloads only what is needed for sound: 8.5 of 46 GB of LTX-2.3; 32.4 of 68.6 GB of LTX-2.5, with its text encoder. An interrupted download continues where it stopped.',
    )
    .argument(
      '[from]',
      'repository/file of the hub, URL or file; with --base 2.5 also the repository, URL or folder of its files (default: Lightricks/LTX-2.3, 22B dev, or Lightricks/LTX-2.5)',
    )
    .addOption(
      new Option('--base <release>', 'the release; a file is recognized without it (default: 2.3)').choices([
        '2.3',
        '2.5',
      ]),
    )
    .option(
      '--text-encoder',
      'download only the text encoder; of LTX-2.3 Gemma 3 12B, from a repository, URL or folder',
    )
    .option('--no-text-encoder', 'with --base 2.5: download everything but the text encoder')
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
  ltx-a2a pull --base 2.5
  ltx-a2a pull --base 2.5 /downloads/LTX-2.5 --out models/ltx-2.5
  ltx-a2a pull Lightricks/LTX-2.3-fp8/ltx-2.3-22b-dev-fp8.safetensors
  ltx-a2a pull /downloads/ltx-2.3-22b-dev.safetensors --out audio.safetensors`
