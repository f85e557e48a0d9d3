/**
 * Set-up of a current TensorFlow under tfjs-node. From npm, tfjs-node comes with TensorFlow 2.9, which is slow at bfloat16 and does not support recent
 * cards. Its addon is two C++ files on TensorFlow's stable C interface, which can be built against any later version. Those of this package add functions,
 * as which captured graphs run, and fused ops.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmdirSync, rmSync, statSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  addonFolder,
  dataFolderHint,
  type Installation,
  installationFolder,
  ownTfjs,
  requireDataFolder,
  writeInstallation,
} from '../engine/installation.ts'
import { checkInstructions } from '../engine/native.ts'
import { ProgramError, runProgram } from '../machine/programs.ts'
import { Interrupted, UserError } from '../platform/errors.ts'
import { lockFolder } from '../platform/lock.ts'
import { createReporter, type ProgressEvent, type RunOptions } from '../platform/progress.ts'
import { requireWritable } from '../platform/user-folders.ts'
import { findAddonMeans, provideAddon } from './addon-choice.ts'
import type { DoctorReport } from './doctor.ts'
import { isDownloaded, obtainTensorFlow, type TensorFlowChoice } from './tensorflow-source.ts'
import { fetchTfjsNode, nodeHeaders } from './tfjs-node.ts'

export type SetupSettings = TensorFlowChoice & {
  dataFolder?: string
  /** Where the addons are that come with the package. */
  prebuilt?: string
}

/**
 * Installs a current TensorFlow under tfjs-node. An earlier one is replaced only after the new one has computed correctly.
 * @throws UserError for what is missing, or cannot be fetched, built or started; Interrupted when the signal was aborted.
 */
export async function setUpTensorFlow(
  { dataFolder = requireDataFolder(), prebuilt, ...choice }: SetupSettings = {},
  options: RunOptions<ProgressEvent> = {},
): Promise<Installation & Examination> {
  refuseWindows()
  checkInstructions()
  requireWritable(dataFolder, 'TensorFlow cannot be set up in', dataFolderHint)
  const reporter = createReporter<ProgressEvent>(options)
  const { stage, signal } = reporter
  const inStage = async <Result>(label: string, work: () => Promise<Result>): Promise<Result> => {
    signal.throwIfAborted()
    const { finish } = stage(label, undefined, 'files')
    const result = await work()
    finish()
    return result
  }
  const { version } = ownTfjs()
  const downloads = isDownloaded(choice) ? downloadsFolder(dataFolder) : undefined
  const means = await findAddonMeans(version, prebuilt)
  const lock = downloads === undefined ? undefined : lockFolder(downloads)
  const trial = makeTrialFolder(dataFolder)
  try {
    const folder = installationFolder(trial)
    const addon = addonFolder(folder)
    const folders = { downloads: downloads ?? trial, unpacked: join(folder, 'libtensorflow') }
    const known = means.compiler === undefined ? means.prebuilt?.manifest.tensorflow : undefined
    const { from, isForCuda, ...tensorflow } = await inStage('Getting TensorFlow', () =>
      obtainTensorFlow(choice, folders, reporter, known),
    )
    await inStage('Getting tfjs-node', () => fetchTfjsNode(addon, version, signal))
    const libraries = tensorflow.libraries.map((path) => (liesIn(folder, path) ? relative(folder, path) : path))
    const installation: Installation = { tfjs: version, from, libraries }
    writeInstallation(folder, installation)
    const examination = await provideAddon(means, {
      build: { addon, nodeHeaders: nodeHeaders(addon), tensorflow, movedFolder: folder },
      check: () => inStage('Checking', () => examine(trial, signal)),
      info: reporter.info,
      compile: (work) => inStage('Building the addon', work),
      signal,
    })
    if (liesIn(folder, tensorflow.include)) rmSync(tensorflow.include, { recursive: true })
    if (isForCuda && examination.native.device !== 'GPU')
      reporter.warn('TensorFlow for CUDA computes on the CPU here', 'ltx-a2a doctor says more')
    moveIntoPlace(trial, dataFolder)
    if (downloads !== undefined) rmSync(downloads, { recursive: true, force: true })
    return { ...installation, ...examination }
  } catch (error) {
    if (!signal.aborted) throw error
    const hint = downloads && 'run the same command again: a download continues where it stopped'
    throw new Interrupted('stopped; nothing was installed', { hint })
  } finally {
    rmSync(trial, { recursive: true, force: true })
    lock?.release()
    if (downloads !== undefined) removeIfEmpty(downloads)
  }
}

/** Where wheels are downloaded to. It is removed when the setup has succeeded. */
const downloadsFolder = (dataFolder: string) => join(dataFolder, 'downloads')

function removeIfEmpty(folder: string) {
  try {
    rmdirSync(folder)
  } catch (error) {
    if (!['ENOENT', 'ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
}

/** Removes what was set up, and what interrupted setups have downloaded. @returns whether anything was set up. */
export function removeTensorFlow(dataFolder = requireDataFolder()): boolean {
  const folder = installationFolder(dataFolder)
  rmSync(downloadsFolder(dataFolder), { recursive: true, force: true })
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

/** A temporary data folder inside the data folder, so that the result can be moved in one step. Each set-up has its own. */
export function makeTrialFolder(dataFolder: string): string {
  mkdirSync(dataFolder, { recursive: true })
  removeAbandonedTrials(dataFolder)
  const trial = mkdtempSync(join(dataFolder, trialPrefix))
  mkdirSync(installationFolder(trial), { recursive: true })
  return trial
}

const trialPrefix = 'trial-'

/** A set-up takes minutes. Its folder is left behind only when it is killed. */
const abandonedAfterMs = 24 * 3600 * 1000

function removeAbandonedTrials(dataFolder: string) {
  for (const name of readdirSync(dataFolder)) {
    const path = join(dataFolder, name)
    const made = name.startsWith(trialPrefix) ? statSync(path, { throwIfNoEntry: false })?.mtimeMs : undefined
    if (made !== undefined && Date.now() - made > abandonedAfterMs) rmSync(path, { recursive: true, force: true })
  }
}

/**
 * Moves the installation of a trial into the data folder. An earlier one is moved into the trial folder. Several set-ups may do this at the same time:
 * one of their installations remains, and it is complete.
 */
export function moveIntoPlace(trial: string, dataFolder: string) {
  const target = installationFolder(dataFolder)
  for (let attempt = 1; ; attempt++) {
    moveAway(target, join(trial, `replaced-${attempt}`))
    try {
      renameSync(installationFolder(trial), target)
      return
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException
      if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error // otherwise another set-up has moved its own there
    }
  }
}

function moveAway(path: string, target: string) {
  try {
    renameSync(path, target)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

const liesIn = (folder: string, path: string) => !relative(folder, path).startsWith('..')

export type Examination = Required<Pick<DoctorReport, 'native' | 'products'>>

const program = fileURLToPath(new URL('../../bin/ltx-a2a.js', import.meta.url))

/**
 * Runs the doctor in another process, because a library that crashes ends its process.
 * @throws UserError when the TensorFlow in the data folder does not start, or multiplies wrongly.
 */
export async function examine(dataFolder: string, signal?: AbortSignal): Promise<Examination> {
  const { backend, native, products } = await runDoctor(dataFolder, signal)
  if (!native || !products) throw unusable('does not start', new Error(backend.failure))
  if (!products.float32.works) throw unusable('does not multiply correctly', new Error(products.float32.reason))
  return { native, products }
}

async function runDoctor(dataFolder: string, signal: AbortSignal | undefined): Promise<DoctorReport> {
  const command = [program, 'doctor', '--backend', 'tensorflow', '--json']
  try {
    return JSON.parse(await runProgram(process.execPath, command, { env: { LTX_A2A_DATA: dataFolder }, signal }))
  } catch (cause) {
    if (cause instanceof ProgramError) throw unusable('crashes', cause)
    throw cause
  }
}

const unusable = (problem: string, cause: unknown) =>
  new UserError(`the TensorFlow that was set up ${problem} on this machine`, {
    hint: 'use another build of TensorFlow: --from a folder, a .tar.gz or a .whl',
    cause,
  })
