/**
 * Set-up of a current TensorFlow under tfjs-node. From npm, tfjs-node comes with TensorFlow 2.9, which is slow at bfloat16 and does not support recent
 * cards. Its addon is two C++ files on TensorFlow's stable C interface, which can be built against any later version.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  addonFolder,
  defaultDataFolder,
  type Installation,
  installationFolder,
  ownTfjs,
  writeInstallation,
} from '../engine/installation.ts'
import { ProgramError, runProgram } from '../machine/programs.ts'
import { UserError } from '../platform/errors.ts'
import { createReporter, type ProgressEvent, type RunOptions } from '../platform/progress.ts'
import { buildAddon, fetchTfjsNode, findCompiler, nodeHeaders } from './addon.ts'
import type { DoctorReport } from './doctor.ts'
import { obtainTensorFlow, type TensorFlowChoice } from './tensorflow-source.ts'

export type SetupSettings = TensorFlowChoice & { dataFolder?: string }

/**
 * Installs a current TensorFlow under tfjs-node. An earlier one is replaced only after the new one has computed correctly.
 * @throws UserError for what is missing, or cannot be fetched, built or started; Interrupted when the signal was aborted.
 */
export async function setUpTensorFlow(
  { dataFolder = defaultDataFolder(), ...choice }: SetupSettings = {},
  options: RunOptions<ProgressEvent> = {},
): Promise<Installation & Examination> {
  const reporter = createReporter<ProgressEvent>(options)
  const stage = async <Result>(label: string, work: () => Result | Promise<Result>): Promise<Result> => {
    reporter.throwIfAborted()
    const { finish } = reporter.stage(label, undefined, 'files')
    const result = await work()
    finish()
    return result
  }
  refuseWindows()
  const compiler = await findCompiler()
  const trial = makeTrialFolder(dataFolder)
  try {
    const folder = installationFolder(trial)
    const addon = addonFolder(folder)
    const { from, ...tensorflow } = await stage('Getting TensorFlow', () =>
      obtainTensorFlow(choice, join(folder, 'libtensorflow')),
    )
    const { version } = ownTfjs()
    await stage('Getting tfjs-node', () => fetchTfjsNode(addon, version))
    await stage('Building the addon', () =>
      buildAddon(compiler, { addon, nodeHeaders: nodeHeaders(addon), tensorflow, movedFolder: folder }),
    )
    if (liesIn(folder, tensorflow.include)) rmSync(tensorflow.include, { recursive: true })
    const libraries = tensorflow.libraries.map((path) => (liesIn(folder, path) ? relative(folder, path) : path))
    const installation: Installation = { tfjs: version, from, libraries }
    writeInstallation(folder, installation)
    const examination = await stage('Checking', () => examine(trial))
    removeTensorFlow(dataFolder)
    renameSync(folder, installationFolder(dataFolder))
    return { ...installation, ...examination }
  } finally {
    rmSync(trial, { recursive: true, force: true })
  }
}

/** Removes what was set up. @returns whether there was anything. */
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

/** A temporary data folder inside the data folder, so that the result can be moved in one step. Each set-up has its own. */
function makeTrialFolder(dataFolder: string): string {
  removeAbandonedTrials(dataFolder)
  mkdirSync(dataFolder, { recursive: true })
  const trial = mkdtempSync(join(dataFolder, `trial-${process.pid}-`))
  mkdirSync(installationFolder(trial), { recursive: true })
  return trial
}

/** Removes what set-ups left behind whose process is gone. */
function removeAbandonedTrials(dataFolder: string) {
  if (!existsSync(dataFolder)) return
  for (const name of readdirSync(dataFolder)) {
    const [, pid] = /^trial(?:-(\d+)-.*)?$/.exec(name) ?? []
    const isAbandoned = name === 'trial' || (pid !== undefined && !isRunning(Number(pid)))
    if (isAbandoned) rmSync(join(dataFolder, name), { recursive: true, force: true })
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

const liesIn = (folder: string, path: string) => !relative(folder, path).startsWith('..')

export type Examination = Required<Pick<DoctorReport, 'native' | 'products'>>

const tool = fileURLToPath(new URL('../../bin/ltx-a2a.js', import.meta.url))

/** @throws UserError when the TensorFlow in the data folder does not start, or multiplies wrongly. */
export async function examine(dataFolder: string): Promise<Examination> {
  const { backend, native, products } = await askDoctor(dataFolder)
  if (!native || !products) throw unfit('does not start', new Error(backend.failure))
  if (!products.float32.works) throw unfit('does not multiply', new Error(products.float32.reason))
  return { native, products }
}

async function askDoctor(dataFolder: string): Promise<DoctorReport> {
  const question = [tool, 'doctor', '--backend', 'tensorflow', '--json']
  try {
    return JSON.parse(await runProgram(process.execPath, question, { env: { LTX_A2A_DATA: dataFolder } }))
  } catch (cause) {
    if (cause instanceof ProgramError) throw unfit('crashes', cause)
    throw cause
  }
}

const unfit = (what: string, cause: unknown) =>
  new UserError(`the TensorFlow that was set up ${what} on this machine`, {
    hint: 'use another build of TensorFlow: --from a folder, a .tar.gz or a .whl',
    cause,
  })
