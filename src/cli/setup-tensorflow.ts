/** `ltx-a2a setup-tensorflow`: installs a current TensorFlow under tfjs-node, or removes it. */
import { type Command, Option } from 'commander'
import type { MatMulProbe } from '../engine/precision.ts'
import { UserError } from '../platform/errors.ts'
import { sizeText, wholeText } from '../platform/text.ts'
import { addQuietOption, pathOption } from './options.ts'
import { type CommandContext, runCommand } from './run-command.ts'

type Choice = { from?: string; python?: string; cpu?: true; cuda?: true }
type SetupFlags = Choice & { gpu?: true; undo?: true; quiet?: true }

export function addSetupTensorFlow(program: Command) {
  const command = program
    .command('setup-tensorflow')
    .summary('install a current native TensorFlow, for the 22B model')
    .description(
      'Installs a current TensorFlow under tfjs-node: many times as fast as WebAssembly. It is downloaded from the package ' +
        'index that pip uses (PyPI by default), for CUDA if an NVIDIA card is found. An interrupted download continues.',
    )
    .option('--cpu', 'download TensorFlow for the CPU: 270 MB')
    .option('--cuda', 'download TensorFlow for CUDA and the libraries of NVIDIA: about 3.4 GB')
    .addOption(new Option('--gpu', 'the same as --cuda').hideHelp())
    .addOption(pathOption('--from <path>', 'folder, .tar.gz or .whl of TensorFlow to use instead of a download'))
    .addOption(pathOption('--python <exe>', 'a Python whose installed TensorFlow is used'))
    .option('--undo', 'remove what was set up')
    .addHelpText('after', examples)
  addQuietOption(command)
  command.action(({ quiet, undo, gpu, ...flags }: SetupFlags) => {
    const choice: Choice = gpu ? { ...flags, cuda: true } : flags
    return runCommand({ quiet }, (context) => (undo ? remove(choice, context) : setUp(choice, context)))
  })
}

const examples = `
Examples:
  ltx-a2a setup-tensorflow
  ltx-a2a setup-tensorflow --cpu
  ltx-a2a setup-tensorflow --python .venv/bin/python
  ltx-a2a setup-tensorflow --from libtensorflow-gpu-linux-x86_64.tar.gz
  ltx-a2a setup-tensorflow --undo`

async function setUp(settings: Choice, { output, signal }: CommandContext) {
  const { setUpTensorFlow } = await import('../setup/tensorflow.ts')
  const { native, products, from } = await setUpTensorFlow(settings, { signal, onEvent: output.onEvent })
  output.info(`Products: float32 ${rate(products.float32)}, bfloat16 ${rate(products.bfloat16)}`)
  output.result(`TensorFlow ${native.version} from ${from}, computing on the ${native.device}`)
}

async function remove(choice: Choice, { output }: CommandContext) {
  const [other] = Object.keys(choice)
  if (other) throw new UserError(`both --undo and --${other} were given`, { hint: 'keep one of them' })
  const { removeTensorFlow } = await import('../setup/data-folder.ts')
  const { requireDataFolder } = await import('../engine/installation.ts')
  const folder = requireDataFolder()
  const { installation, downloads, trials } = removeTensorFlow(folder)
  const removed = [
    ...(installation > 0 ? ['TensorFlow'] : []),
    ...(downloads > 0 ? [`interrupted downloads (${sizeText(downloads)})`] : []),
    ...(trials > 0 ? [`what killed set-ups had left (${sizeText(trials)})`] : []),
  ]
  output.result(
    removed.length > 0
      ? `removed ${removed.join(' and ')} from ${folder}`
      : `nothing to undo: no TensorFlow was set up in ${folder}`,
  )
}

const rate = (probe: MatMulProbe) =>
  probe.works ? `${wholeText(probe.gigaflops)} GFLOP/s` : `does not work (${probe.reason})`
