/** The names of wheels, which say what a wheel runs on, and which wheel this machine takes. */
import { release } from 'node:os'
import { compare, explain, satisfies, valid } from '@renovatebot/pep440'
import { normalizedName } from './package-index.ts'
import type { IndexFile } from './package-page.ts'

export type WheelName = { project: string; version: string; python: string; abi: string; platforms: string[] }

/** Undefined for a file that is not a wheel. */
export function parseWheelName(file: string): WheelName | undefined {
  const [, project, version, python, abi, platform] =
    /^([^-]+)-([^-]+)(?:-\d[^-]*)?-([^-]+)-([^-]+)-([^-]+)\.whl$/i.exec(file) ?? []
  if (!project || !version || !python || !abi || !platform) return undefined
  return { project: normalizedName(project), version, python, abi, platforms: platform.toLowerCase().split('.') }
}

export type WheelMachine = {
  platform: NodeJS.Platform
  arch: string
  /** The version of the C library; undefined where it is another than glibc. */
  glibc?: string | undefined
  /** The version of macOS. */
  macos?: string | undefined
}

export function thisWheelMachine(): WheelMachine {
  const { platform, arch } = process
  if (platform === 'darwin') return { platform, arch, macos: macosVersion(release()) }
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } }
  return { platform, arch, glibc: header.glibcVersionRuntime }
}

/** Darwin 20 is macOS 11, and Darwin 25 is macOS 26. */
export function macosVersion(darwin: string): string {
  const [major = 0, minor = 0] = darwin.split('.').map(Number)
  return `${major >= 25 ? major + 1 : major - 9}.${minor}`
}

const machineNames: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  linux: { x64: 'x86_64', arm64: 'aarch64' },
  darwin: { x64: 'x86_64', arm64: 'arm64' },
}

/** The versions of glibc in the older names of tags. */
const glibcOf: Readonly<Record<string, string>> = { 1: '2.5', 2010: '2.12', 2014: '2.17' }

/** Whether code with this platform tag runs on the machine. */
export function runsOn(tag: string, { platform, arch, glibc, macos }: WheelMachine): boolean {
  const machine = machineNames[platform]?.[arch]
  if (machine === undefined) return false
  const [, major, minor, macMachine = ''] = /^macosx_(\d+)_(\d+)_(\w+)$/.exec(tag) ?? []
  if (major !== undefined)
    return macos !== undefined && isAtLeast(macos, `${major}.${minor}`) && [machine, 'universal2'].includes(macMachine)
  const [, glibcVersion, older, linuxMachine] =
    /^(?:linux|manylinux(?:_(\d+_\d+)|(1|2010|2014)))_(x86_64|aarch64)$/.exec(tag) ?? []
  if (linuxMachine !== machine || platform !== 'linux' || glibc === undefined) return false
  const least = glibcVersion?.replace('_', '.') ?? glibcOf[older ?? '']
  return least === undefined || isAtLeast(glibc, least)
}

const isAtLeast = (version: string, least: string) => compare(version, least) >= 0

export type Wheel = WheelName & { file: IndexFile }

/**
 * The wheels of a project that run on this machine, the best first: final releases from new to old, and of each version one wheel. No Python will run
 * them, so their version of Python, and the one that they require, do not matter.
 */
export function usableWheels(
  files: readonly IndexFile[],
  project: string,
  machine: WheelMachine,
  specifier = '',
): Wheel[] {
  const wheels = files.flatMap((file) => {
    const name = parseWheelName(file.name)
    return name && !file.isYanked ? [{ ...name, file }] : []
  })
  const usable = wheels.filter(
    (wheel) =>
      wheel.project === normalizedName(project) &&
      wheel.platforms.some((tag) => runsOn(tag, machine)) &&
      !wheel.abi.endsWith('t') && // Python without its global lock
      isFinal(wheel.version) &&
      (specifier === '' || satisfies(wheel.version, specifier)),
  )
  usable.sort((a, b) => compare(b.version, a.version) || pythonOf(b) - pythonOf(a) || glibcRank(b) - glibcRank(a))
  return usable.filter(({ version }, i) => i === 0 || compare(version, (usable[i - 1] as Wheel).version) !== 0)
}

function isFinal(version: string): boolean {
  const parts = valid(version) ? explain(version) : null
  return parts !== null && !parts.is_prerelease && !parts.is_devrelease
}

/** `cp312` → 312, `py3` → 3. Of several, the newest. */
const pythonOf = ({ python }: WheelName) => Math.max(...[...python.matchAll(/\d+/g)].map(Number), 0)

/** Of the same release, the wheel that is built for the newest system is taken, as pip does. */
const glibcRank = ({ platforms }: WheelName) =>
  Math.max(...platforms.map((tag) => Number(/_2_(\d+)_/.exec(tag)?.[1] ?? 0)), 0)
