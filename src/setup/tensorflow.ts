/**
 * Set-up of a current TensorFlow under tfjs-node. From npm, tfjs-node comes with TensorFlow 2.9, which is slow at bfloat16 and does not support recent
 * cards. Its addon is two C++ files on TensorFlow's stable C interface, which can be built against any later version. Those of this package add functions,
 * as which captured graphs run, and fused ops.
 */
import { rmSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { noCard } from '../engine/card-use.ts'
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
import { precisionFromEnvironment } from '../engine/precision.ts'
import { threadsFromEnvironment } from '../engine/wasm.ts'
import { cardText } from '../machine/nvidia.ts'
import { ProgramError, runProgram } from '../machine/programs.ts'
import { Interrupted, UserError } from '../platform/errors.ts'
import { type FolderLock, lockFolder } from '../platform/lock.ts'
import { createReporter, type ProgressEvent, type RunOptions } from '../platform/progress.ts'
import { requireWritable } from '../platform/user-folders.ts'
import { findAddonMeans, provideAddon } from './addon-choice.ts'
import {
  downloadsFolder,
  liesIn,
  makeDataFolder,
  makeTrial,
  moveIntoPlace,
  refuseOwnPlace,
  removeDownloads,
  removeIfEmpty,
  requireOwnPlaces,
  type Trial,
} from './data-folder.ts'
import type { DoctorReport } from './doctor.ts'
import { isDownloaded, obtainTensorFlow, type TensorFlowChoice } from './tensorflow-source.ts'
import { fetchTfjsNode, nodeHeaders, requirePrograms } from './tfjs-node.ts'

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
  checkEnvironment()
  const isFetched = isDownloaded(choice)
  requireWritable(dataFolder, 'TensorFlow cannot be set up in', dataFolderHint)
  requireOwnPlaces(dataFolder)
  if (choice.from !== undefined) refuseOwnPlace(choice.from, dataFolder)
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
  const downloads = isFetched ? downloadsFolder(dataFolder) : undefined
  let lock: FolderLock | undefined
  let trial: Trial | undefined
  try {
    await requirePrograms(signal)
    const means = await findAddonMeans(version, prebuilt, signal)
    makeDataFolder(dataFolder)
    if (downloads !== undefined) lock = lockFolder(downloads)
    trial = makeTrial(dataFolder)
    const trialFolder = trial.folder
    const folder = installationFolder(trialFolder)
    const addon = addonFolder(folder)
    const folders = { downloads: downloads ?? trialFolder, unpacked: join(folder, 'libtensorflow') }
    const known = means.compiler === undefined ? means.prebuilt?.manifest.tensorflow : undefined
    const { from, isForCuda, ...tensorflow } = await inStage('Getting TensorFlow', () =>
      obtainTensorFlow(choice, folders, reporter, known),
    )
    for (const path of tensorflow.libraries) if (!liesIn(folder, path)) refuseOwnPlace(path, dataFolder)
    await inStage('Getting tfjs-node', () => fetchTfjsNode(addon, version, signal))
    const libraries = tensorflow.libraries.map((path) => (liesIn(folder, path) ? relative(folder, path) : path))
    const installation: Installation = { tfjs: version, from, libraries }
    writeInstallation(folder, installation)
    const examination = await provideAddon(means, {
      build: { addon, nodeHeaders: nodeHeaders(addon), tensorflow, movedFolder: folder },
      check: () => inStage('Checking', () => examine(trialFolder, signal)),
      info: reporter.info,
      compile: (work) => inStage('Building the addon', work),
      signal,
    })
    if (liesIn(folder, tensorflow.include)) rmSync(tensorflow.include, { recursive: true })
    const reason = isForCuda === false ? undefined : reasonForCpu(examination, isForCuda ?? false)
    if (reason) reporter.warn(reason.message, reason.hint)
    moveIntoPlace(trialFolder, dataFolder)
    if (lock !== undefined) removeDownloads(dataFolder, lock)
    return { ...installation, ...examination }
  } catch (error) {
    if (!signal.aborted) throw error
    const hint = downloads && 'run the same command again: a download continues where it stopped'
    throw new Interrupted('stopped; nothing was installed', { hint })
  } finally {
    trial?.remove()
    lock?.release()
    if (downloads !== undefined) removeIfEmpty(downloads)
  }
}

function refuseWindows() {
  if (process.platform !== 'win32') return
  throw new UserError('setup-tensorflow works on Linux and macOS', {
    hint: 'use WSL, or the tfjs-node that npm installs: npm install @tensorflow/tfjs-node',
  })
}

export type Examination = Required<Pick<DoctorReport, 'native' | 'products'>> &
  Pick<DoctorReport, 'graphicsCards' | 'cardFailure'>

/**
 * Why a TensorFlow that was set up computes on the CPU although it could use a card; undefined where there is nothing to say.
 * @param isForCuda whether it was downloaded for a card.
 */
export function reasonForCpu(
  { native, graphicsCards, cardFailure }: Pick<Examination, 'native' | 'graphicsCards' | 'cardFailure'>,
  isForCuda: boolean,
): { message: string; hint?: string } | undefined {
  if (native.device === 'GPU') return undefined
  const card = graphicsCards.find(({ remedy }) => remedy !== undefined) ?? (isForCuda ? graphicsCards[0] : undefined)
  if (!card) return isForCuda ? { message: `TensorFlow computes on the CPU: ${cardFailure ?? noCard}` } : undefined
  const message = `TensorFlow computes on the CPU: ${cardText(card)}, is not used: ${card.obstacle}`
  return { message, ...(card.remedy !== undefined && { hint: card.remedy }) }
}

/** So that a wrong variable is noticed before the download. */
function checkEnvironment() {
  checkInstructions()
  threadsFromEnvironment()
  precisionFromEnvironment()
}

const program = fileURLToPath(new URL('../../bin/ltx-a2a.js', import.meta.url))

/**
 * Runs the doctor in another process, because a library that crashes ends its process.
 * @throws UserError when the TensorFlow in the data folder does not start, or multiplies wrongly.
 */
export async function examine(dataFolder: string, signal?: AbortSignal): Promise<Examination> {
  const { backend, native, products, graphicsCards, cardFailure } = await runDoctor(dataFolder, signal)
  if (!native || !products) throw unusable('does not start', new Error(backend.failure))
  if (!products.float32.works) throw unusable('does not multiply correctly', new Error(products.float32.reason))
  return { native, products, graphicsCards, ...(cardFailure !== undefined && { cardFailure }) }
}

async function runDoctor(dataFolder: string, signal: AbortSignal | undefined): Promise<DoctorReport> {
  const command = [program, 'doctor', '--backend', 'tensorflow', '--json']
  try {
    return reportIn(await runProgram(process.execPath, command, { env: { LTX_A2A_DATA: dataFolder }, signal }))
  } catch (cause) {
    if (cause instanceof ProgramError) throw unusable('crashes', cause)
    throw cause
  }
}

/** Modules that NODE_OPTIONS loads may print something before or after the report. */
const reportIn = (output: string): DoctorReport =>
  JSON.parse(output.slice(output.lastIndexOf('{\n  "tool"'), output.lastIndexOf('\n}') + 2))

const unusable = (problem: string, cause: unknown) =>
  new UserError(`the TensorFlow that was set up ${problem} on this machine`, {
    hint: 'use another build of TensorFlow: --from a folder, a .tar.gz or a .whl',
    cause,
  })
