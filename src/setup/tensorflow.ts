/**
 * A current TensorFlow under tfjs-node. As npm installs it, tfjs-node brings TensorFlow 2.9, which is slow at bfloat16 and knows no recent card;
 * but its addon is two C++ files on TensorFlow's stable C interface, which build against any later one.
 */
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { join, relative } from 'node:path'
import {
  addonFolder,
  defaultDataFolder,
  type Installation,
  installationFolder,
  ownTfjs,
  writeInstallation,
} from '../engine/installation.ts'
import { UserError } from '../errors.ts'
import { buildAddon, findCompiler } from './compiler.ts'
import { type Examination, examine } from './examination.ts'
import { obtainTensorFlow, type TensorFlowWish } from './source.ts'
import { fetchTfjsNode, nodeHeaders } from './tfjs-node.ts'

export type SetupOptions = TensorFlowWish & {
  dataFolder?: string
  /** Called as each part begins. */
  onStage?: (stage: SetupStage) => void
}

export type SetupStage = 'Getting TensorFlow' | 'Getting tfjs-node' | 'Building the addon' | 'Checking'

/**
 * Puts a current TensorFlow under tfjs-node. An earlier one is replaced only when the new one has shown that it computes.
 * @throws UserError for whatever is missing, cannot be fetched, built or started.
 */
export async function setUpTensorFlow(options: SetupOptions = {}): Promise<Installation & Examination> {
  const { dataFolder = defaultDataFolder(), onStage = () => {}, ...wish } = options
  refuseWindows()
  const compiler = await findCompiler()
  const trial = makeTrialFolder(dataFolder)
  try {
    const folder = installationFolder(trial)
    const addon = addonFolder(folder)
    onStage('Getting TensorFlow')
    const { from, ...tensorflow } = await obtainTensorFlow(wish, join(folder, 'libtensorflow'))
    onStage('Getting tfjs-node')
    const { version } = ownTfjs()
    await fetchTfjsNode(addon, version)
    onStage('Building the addon')
    await buildAddon(compiler, { addon, nodeHeaders: nodeHeaders(addon), tensorflow, movable: folder })
    if (liesIn(folder, tensorflow.include)) rmSync(tensorflow.include, { recursive: true })
    const libraries = tensorflow.libraries.map((path) => (liesIn(folder, path) ? relative(folder, path) : path))
    const installation: Installation = { tfjs: version, from, libraries }
    writeInstallation(folder, installation)
    onStage('Checking')
    const examination = await examine(trial)
    removeTensorFlow(dataFolder)
    renameSync(folder, installationFolder(dataFolder))
    return { ...installation, ...examination }
  } finally {
    rmSync(trial, { recursive: true, force: true })
  }
}

/** Undoes a setup. @returns whether there was one. */
export function removeTensorFlow(dataFolder = defaultDataFolder()): boolean {
  const folder = installationFolder(dataFolder)
  if (!existsSync(folder)) return false
  rmSync(folder, { recursive: true })
  return true
}

function refuseWindows() {
  if (process.platform !== 'win32') return
  throw new UserError('setup-tensorflow works on Linux and macOS', {
    hint: 'use WSL, or the tfjs-node that npm installs: npm install @tensorflow/tfjs-node',
  })
}

/** A data folder within the data folder: moving out of it is one step. What an interrupted setup left there is removed. */
function makeTrialFolder(dataFolder: string): string {
  const trial = join(dataFolder, 'trial')
  rmSync(trial, { recursive: true, force: true })
  mkdirSync(installationFolder(trial), { recursive: true })
  return trial
}

const liesIn = (folder: string, path: string) => !relative(folder, path).startsWith('..')
