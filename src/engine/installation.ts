/**
 * The TensorFlow that `ltx-a2a setup-tensorflow` put under tfjs-node: where it lies, what is written down about it, and how it is loaded. It lives
 * outside of node_modules, where no update of packages removes it.
 */
import { existsSync, mkdirSync, readFileSync, readlinkSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { replaceJson } from '../platform/files.ts'

export type Installation = {
  /** The version of tfjs-node, which must be that of tfjs. */
  tfjs: string
  /** Where TensorFlow came from, in words. */
  from: string
  /** Its libraries; relative to the installation's folder where they lie inside it. */
  libraries: string[]
}

/** `LTX_A2A_DATA`, or the folder that the system sets aside for programs' data. */
export function defaultDataFolder(env: NodeJS.ProcessEnv = process.env, platform = process.platform): string {
  if (env.LTX_A2A_DATA) return resolve(env.LTX_A2A_DATA)
  if (platform === 'win32') return join(env.LOCALAPPDATA ?? join(homedir(), 'AppData', 'Local'), 'ltx-a2a', 'data')
  if (platform === 'darwin') return join(homedir(), 'Library', 'Application Support', 'ltx-a2a')
  return join(env.XDG_DATA_HOME || join(homedir(), '.local', 'share'), 'ltx-a2a')
}

export const installationFolder = (dataFolder = defaultDataFolder()) => join(dataFolder, 'tensorflow')

/** tfjs-node's package folder within an installation. */
export const addonFolder = (folder: string) => join(folder, 'tfjs-node')

const recordOf = (folder: string) => join(folder, 'installation.json')

export const writeInstallation = (folder: string, installation: Installation) =>
  replaceJson(recordOf(folder), installation)

/** What was set up in the folder, or undefined. */
export function readInstallation(folder = installationFolder()): Installation | undefined {
  if (!existsSync(recordOf(folder))) return undefined
  return JSON.parse(readFileSync(recordOf(folder), 'utf8')) as Installation
}

const require = createRequire(import.meta.url)

/**
 * Loads the addon, which registers the backend `tensorflow`; undefined where nothing was set up.
 * @throws Error of one sentence when what was set up no longer fits.
 */
export function loadInstallation(folder = installationFolder()): Installation | undefined {
  const installation = readInstallation(folder)
  if (!installation) return undefined
  const again = 'run ltx-a2a setup-tensorflow again'
  const { version } = ownTfjs()
  if (installation.tfjs !== version)
    throw new Error(`TensorFlow was set up for tfjs ${installation.tfjs}, not ${version}: ${again}`)
  const lost = installation.libraries.map((path) => resolve(folder, path)).find((path) => !existsSync(path))
  if (lost !== undefined) throw new Error(`TensorFlow was set up with ${lost}, which is gone: ${again}`)
  shareTfjs(folder)
  require(addonFolder(folder))
  return installation
}

/** The tfjs that this program computes with. */
export function ownTfjs(): { folder: string; version: string } {
  const manifest = require.resolve('@tensorflow/tfjs/package.json')
  return { folder: dirname(manifest), version: require(manifest).version as string }
}

/**
 * Makes tfjs-node find our copies of tfjs and tfjs-core: kernels that register with another core are never found. Done at each start, because
 * several installations of this program share one TensorFlow.
 */
function shareTfjs(folder: string) {
  const { folder: tfjs } = ownTfjs()
  const core = dirname(createRequire(join(tfjs, 'package.json')).resolve('@tensorflow/tfjs-core/package.json'))
  const scope = join(addonFolder(folder), 'node_modules', '@tensorflow')
  mkdirSync(scope, { recursive: true })
  point(join(scope, 'tfjs'), tfjs)
  point(join(scope, 'tfjs-core'), core)
}

/** Replaced in one step: another process may be starting. */
function point(link: string, target: string) {
  if (existsSync(link) && readlinkSync(link) === target) return
  const beside = `${link}.${process.pid}.tmp`
  rmSync(beside, { force: true })
  symlinkSync(target, beside, 'dir')
  renameSync(beside, link)
}
