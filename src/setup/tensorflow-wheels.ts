/** TensorFlow from a Python package index, without Python: which wheels, their download and their unpacking. */
import { compare } from '@renovatebot/pep440'
import { oldestDrivers } from '../engine/cuda-build.ts'
import { freeBytesAt } from '../machine/hardware.ts'
import { isBefore } from '../machine/nvidia.ts'
import { createHttpClient } from '../net/http-client.ts'
import { UserError } from '../platform/errors.ts'
import type { Reporter } from '../platform/progress.ts'
import { listText } from '../platform/text.ts'
import { indexSettings } from './index-settings.ts'
import { type IndexAccess, projectFiles, readMetadata } from './package-index.ts'
import type { DeviceChoice } from './tensorflow-device.ts'
import { metadataOfFile, metadataOfSource, nvidiaContents, tensorflowContents, unpackWheel } from './wheel-archive.ts'
import { type Fetching, fetchWheels, openWheel, pathOf, type WheelEnv } from './wheel-download.ts'
import { thisWheelMachine, usableWheels, type Wheel } from './wheel-name.ts'
import { markerVariables, type Requirement, requirementsOfExtra } from './wheel-requirements.ts'

export type WheelChoice = Pick<DeviceChoice, 'device' | 'driver'> & {
  /** The version to take if an index has it. By default the newest. */
  version?: string | undefined
}

export type WheelFolders = {
  /** Where wheels are kept until the setup has succeeded. */
  downloads: string
  /** Receives the folders `tensorflow` and, for CUDA, `nvidia`. */
  unpacked: string
}

/** The package index of this machine. */
export function defaultEnv(): WheelEnv {
  const settings = indexSettings()
  const { proxy, certificates } = settings
  return {
    settings,
    client: createHttpClient({ proxy, certificates }),
    machine: thisWheelMachine(),
    freeBytes: freeBytesAt,
  }
}

/**
 * Downloads and unpacks TensorFlow, and for CUDA the libraries of NVIDIA that its extra `and-cuda` asks for.
 * @returns the name and version of its wheel.
 * @throws UserError when no index has what is needed, the disk has no room for it, or the download fails; the reason of the signal when it is aborted.
 */
export async function obtainWheels(
  choice: WheelChoice,
  folders: WheelFolders,
  reporter: Reporter,
  replaced: Partial<WheelEnv> = {},
): Promise<string> {
  const env = { ...defaultEnv(), ...replaced }
  const fetching: Fetching = { ...env, folder: folders.downloads, reporter }
  const wheels = await (choice.device === 'CUDA' ? cudaWheels(choice, fetching) : cpuWheels(choice, fetching))
  await fetchWheels(wheels, fetching)
  const { finish } = reporter.stage('Unpacking', undefined, 'files')
  for (const [i, wheel] of wheels.entries()) {
    const contents = i === 0 ? tensorflowContents : nvidiaContents
    await unpackWheel(pathOf(wheel, folders.downloads), folders.unpacked, contents, reporter.signal, env.freeBytes)
  }
  finish()
  const [tensorflow] = wheels as [Wheel]
  return tensorflow.file.name.split('-').slice(0, 2).join('-')
}

const accessOf = ({ client, reporter: { signal } }: Fetching): IndexAccess => ({ client, signal })

/** On Linux x64, `tensorflow-cpu` is half the size of `tensorflow`. Other systems have only the latter, which has no CUDA there. */
async function cpuWheels({ version }: WheelChoice, fetching: Fetching): Promise<Wheel[]> {
  const wheels = [
    ...(await findWheels('tensorflow-cpu', fetching)),
    ...(await findWheels('tensorflow', fetching)),
  ].sort((a, b) => compare(b.version, a.version)) // stable: the smaller one comes first
  const wheel = wheels.find((wheel) => version !== undefined && compare(wheel.version, version) === 0) ?? wheels[0]
  if (wheel) return [wheel]
  throw missingWheel('tensorflow', fetching)
}

/** Releases that are tried when the driver is too old for the newest. */
const maxReleases = 5

async function cudaWheels({ version, driver }: WheelChoice, fetching: Fetching): Promise<Wheel[]> {
  const releases = await findWheels('tensorflow', fetching)
  if (releases.length === 0) throw missingWheel('tensorflow', fetching)
  const wished = releases.filter((wheel) => version !== undefined && compare(wheel.version, version) === 0)
  const tried = [...new Set([...wished, ...releases])].slice(0, maxReleases)
  const neededDrivers: string[] = []
  for (const tensorflow of tried) {
    const requirements = await requirementsOf(tensorflow, fetching)
    if (requirements.length === 0) continue
    const [, cuda = ''] = requirements.map(({ project }) => /-cu(\d+)$/.exec(project)).find(Boolean) ?? []
    const oldest = oldestDrivers[cuda]
    if (driver && oldest && isBefore(driver, oldest)) {
      neededDrivers.push(oldest)
      continue
    }
    const libraries: Wheel[] = []
    for (const { project, specifier } of requirements) {
      const [wheel] = await findWheels(project, fetching, specifier)
      if (!wheel) throw missingWheel(`${project}${specifier}`, fetching)
      libraries.push(wheel)
    }
    return [tensorflow, ...libraries]
  }
  throw withoutCuda(
    tried.map(({ version }) => version),
    driver,
    neededDrivers,
  )
}

/** @param neededDrivers what the CUDA of each version needs, where the driver is too old for it. */
function withoutCuda(versions: readonly string[], driver = '', neededDrivers: readonly string[]): UserError {
  const releases = `TensorFlow ${listText(versions, maxReleases)}`
  const [needed] = [...neededDrivers].sort((a, b) => (isBefore(a, b) ? -1 : 1))
  if (needed === undefined)
    return new UserError(`${releases} asks for no libraries of NVIDIA: it has no extra and-cuda`, {
      hint: 'use another package index, or set up TensorFlow for the CPU with --cpu',
    })
  return new UserError(`the driver ${driver} is too old for the CUDA of ${releases}, which needs ${needed} or later`, {
    hint: `update the driver to ${needed} or later, or set up TensorFlow for the CPU with --cpu`,
  })
}

/** The wheels of a project from all indexes, the newest first. */
export async function findWheels(project: string, fetching: Fetching, specifier?: string): Promise<Wheel[]> {
  const { settings, machine } = fetching
  const files = []
  for (const index of settings.indexes) files.push(...(await projectFiles(project, index, accessOf(fetching))))
  return usableWheels(files, project, machine, specifier)
}

function missingWheel(project: string, { settings, machine: { platform, arch, glibc, macos } }: Fetching): UserError {
  const system = macos ? `macOS ${macos}` : glibc ? `${platform} with glibc ${glibc}` : `${platform} without glibc`
  const hosts = settings.indexes.map(({ host }) => host).join(', ')
  return new UserError(`there is no wheel of ${project} for ${system} on ${arch} at ${hosts}`, {
    hint: 'check the package index (pip config list), or give --from a folder, a .tar.gz or a .whl of TensorFlow',
  })
}

async function requirementsOf(wheel: Wheel, fetching: Fetching): Promise<Requirement[]> {
  const { platform, arch } = fetching.machine
  const variables = markerVariables(platform, arch === 'x64' ? 'x86_64' : arch)
  try {
    return requirementsOfExtra(await metadataOf(wheel, fetching), 'and-cuda', variables)
  } catch (cause) {
    fetching.reporter.signal.throwIfAborted()
    if (cause instanceof UserError) throw cause
    throw new UserError(`what ${wheel.file.name} requires cannot be read`, { hint: 'give --from another wheel', cause })
  }
}

/** From the index, otherwise out of the wheel on the server, otherwise from the wheel once it is downloaded. */
async function metadataOf(wheel: Wheel, fetching: Fetching): Promise<string> {
  const { file } = wheel
  const { signal } = fetching.reporter
  const offered = file.metadata && (await readMetadata(file.metadata, accessOf(fetching)))
  if (offered !== undefined) return offered
  const source = await openWheel(wheel, fetching)
  if (source) return metadataOfSource(source, signal)
  await fetchWheels([wheel], fetching)
  return metadataOfFile(pathOf(wheel, fetching.folder))
}
