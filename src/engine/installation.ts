/**
 * The installation of native TensorFlow that `ltx-a2a setup-tensorflow` makes: where it is, its record, and how tfjs-node is loaded with it. It is
 * outside of node_modules, where updates of packages would remove it.
 */
import { existsSync, mkdirSync, readFileSync, readlinkSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { z } from 'zod'
import { UserError } from '../platform/errors.ts'
import { replaceJson, temporaryPath } from '../platform/files.ts'
import { homeFolder, subfolder, systemFolder, writeObstacle } from '../platform/user-folders.ts'

const installationSchema = z.object({
  /** The version of tfjs-node, which must be that of tfjs. */
  tfjs: z.string(),
  /** Where TensorFlow came from, as a description. */
  from: z.string(),
  /** The paths of TensorFlow's libraries; relative to the installation's folder where they are inside it. */
  libraries: z.array(z.string()),
})

/** The record of an installation, `installation.json`. */
export type Installation = z.infer<typeof installationSchema>

/** `LTX_A2A_DATA`, or the system's folder for the data of programs. Undefined for a user without a home folder. */
export function defaultDataFolder(
  env: NodeJS.ProcessEnv = process.env,
  platform = process.platform,
  home = homeFolder(),
): string | undefined {
  return env.LTX_A2A_DATA ? resolve(env.LTX_A2A_DATA) : systemFolder('data', env, platform, home)
}

export const dataFolderHint = 'set LTX_A2A_DATA to a folder that can be written to'

/** @throws UserError for a user without a home folder. */
export function requireDataFolder(): string {
  const folder = defaultDataFolder()
  if (folder !== undefined) return folder
  throw new UserError('there is no home folder for the data of ltx-a2a', { hint: dataFolderHint })
}

export const installationFolder = (dataFolder: string) => join(dataFolder, 'tensorflow')

/** The folder of the package tfjs-node in an installation. */
export const addonFolder = (folder: string) => join(folder, 'tfjs-node')

/** Whether an installation was made in a folder. */
export const hasRecord = (folder: string) => existsSync(recordPath(folder))

const recordPath = (folder: string) => join(folder, 'installation.json')

export const writeInstallation = (folder: string, installation: Installation) =>
  replaceJson(recordPath(folder), installation)

/**
 * The record in the folder, or undefined where nothing is installed.
 * @throws UserError when it is damaged.
 */
export function readInstallation(folder: string): Installation | undefined {
  const path = recordPath(folder)
  if (!existsSync(path)) return undefined
  try {
    return installationSchema.parse(JSON.parse(readFileSync(path, 'utf8')))
  } catch (cause) {
    throw new UserError(`TensorFlow was set up, but ${path} cannot be read`, { hint: again, cause })
  }
}

const again = 'run ltx-a2a setup-tensorflow again'

const require = createRequire(import.meta.url)

/**
 * Loads the addon, which registers the backend `tensorflow`. Returns undefined where nothing is installed.
 * @throws UserError when the installation is damaged, belongs to another tfjs or lacks a library.
 */
export function loadInstallation(folder = subfolder(defaultDataFolder(), 'tensorflow')): Installation | undefined {
  const installation = folder === undefined ? undefined : readInstallation(folder)
  if (folder === undefined || !installation) return undefined
  const { version } = ownTfjs()
  if (installation.tfjs !== version)
    throw new UserError(`TensorFlow was set up for tfjs ${installation.tfjs}, not ${version}`, { hint: again })
  const missing = installation.libraries.find((path) => !existsSync(resolve(folder, path)))
  if (missing !== undefined)
    throw new UserError(`TensorFlow was set up with ${resolve(folder, missing)}, which is gone`, {
      hint: isAbsolute(missing) ? `restore it, or run ltx-a2a setup-tensorflow, which downloads TensorFlow` : again,
    })
  linkTfjs(folder)
  require(addonFolder(folder))
  return installation
}

/** The tfjs that this program uses. */
export function ownTfjs(): { folder: string; version: string } {
  const manifest = require.resolve('@tensorflow/tfjs/package.json')
  return { folder: dirname(manifest), version: require(manifest).version as string }
}

/**
 * Makes tfjs-node use this program's tfjs and tfjs-core: kernels that are registered with another core are not found. The links are set at every
 * start, because several installations of this program share one TensorFlow.
 */
function linkTfjs(folder: string) {
  const { folder: tfjs } = ownTfjs()
  const core = dirname(createRequire(join(tfjs, 'package.json')).resolve('@tensorflow/tfjs-core/package.json'))
  const scope = join(addonFolder(folder), 'node_modules', '@tensorflow')
  try {
    mkdirSync(scope, { recursive: true })
    replaceLink(join(scope, 'tfjs'), tfjs)
    replaceLink(join(scope, 'tfjs-core'), core)
  } catch (cause) {
    const obstacle = writeObstacle(scope)
    if (obstacle === undefined) throw cause
    throw new UserError(`TensorFlow was set up for another copy of ltx-a2a, and ${obstacle}`, {
      hint: dataFolderHint,
      cause,
    })
  }
}

/** Atomic, since another process may be starting at the same time. */
function replaceLink(link: string, target: string) {
  if (existsSync(link) && readlinkSync(link) === target) return
  const temporary = temporaryPath(link)
  rmSync(temporary, { force: true })
  symlinkSync(target, temporary, 'dir')
  renameSync(temporary, link)
}
