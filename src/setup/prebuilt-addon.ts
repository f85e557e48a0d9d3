/** The addon that comes with this package for some platforms, so that no compiler is needed. `npm run build:addon` builds it. */
import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compare } from '@renovatebot/pep440'
import { z } from 'zod'
import type { Build } from './addon.ts'
import type { TensorFlowLibrary } from './tensorflow-source.ts'
import { addonFile, extensionsChecksum } from './tfjs-node.ts'
import { thisWheelMachine, type WheelMachine } from './wheel-name.ts'

const manifestSchema = z.object({
  /** As in `linux-x64`. */
  platform: z.string(),
  /** The version of tfjs-node. */
  tfjs: z.string(),
  /** The version of TensorFlow that it was compiled for. */
  tensorflow: z.string(),
  /** The checksum of the sources of this package that it contains. */
  extensions: z.string(),
  /** The headers of TensorFlow that it was compiled from, and the checksum of their contents. */
  headers: z.object({ files: z.array(z.string()), sha256: z.string() }),
  /** The file names of the libraries that it loads, the main one first. */
  libraries: z.array(z.string()).min(1),
  /** The oldest glibc that has all functions it calls. */
  glibc: z.string().optional(),
})

/** What a prebuilt addon fits: `manifest.json` beside it. */
export type AddonManifest = z.infer<typeof manifestSchema>

export type PrebuiltAddon = { folder: string; manifest: AddonManifest }

/** Has a folder for each platform, as in `linux-x64`. The npm package contains it. */
export const prebuiltFolder = fileURLToPath(new URL('../../prebuilt', import.meta.url))

export const platformName = ({ platform, arch }: { platform: string; arch: string }) => `${platform}-${arch}`

/** The prebuilt addon, or why there is none for this machine and this version of the package. */
export function findPrebuilt(
  tfjs: string,
  root = prebuiltFolder,
  machine: WheelMachine = thisWheelMachine(),
): PrebuiltAddon | string {
  const platform = platformName(machine)
  const folder = join(root, platform)
  if (!existsSync(join(folder, 'manifest.json')) || !existsSync(join(folder, addonFile)))
    return `no addon for ${platform} comes with this copy of ltx-a2a`
  const manifest = manifestSchema.parse(JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')))
  const { glibc } = manifest
  if (manifest.platform !== platform || manifest.tfjs !== tfjs || manifest.extensions !== extensionsChecksum())
    return 'the addon that comes with ltx-a2a is of another version'
  if (glibc !== undefined && (machine.glibc === undefined || compare(machine.glibc, glibc) < 0))
    return `the addon that comes with ltx-a2a needs glibc ${glibc}, and this machine has ${machine.glibc ?? 'none'}`
  return { folder, manifest }
}

/** Why the prebuilt addon does not fit a TensorFlow; undefined where it fits. */
export function mismatchOf(manifest: AddonManifest, { include, libraries }: TensorFlowLibrary): string | undefined {
  const { headers, tensorflow } = manifest
  const names = libraries.map((path) => basename(path))
  if (names.join() !== manifest.libraries.join())
    return `the addon that comes with ltx-a2a loads ${manifest.libraries[0]}`
  if (headersChecksum(include, headers.files) === headers.sha256) return undefined
  return `the addon that comes with ltx-a2a is for the C interface of TensorFlow ${tensorflow}`
}

/** Undefined where a header is missing. */
export function headersChecksum(include: string, files: readonly string[]): string | undefined {
  const hash = createHash('sha256')
  for (const file of files) {
    const path = join(include, file)
    if (!existsSync(path)) return undefined
    hash.update(`${file}\n`).update(readFileSync(path))
  }
  return hash.digest('hex')
}

/** Where a prebuilt addon looks for TensorFlow's libraries, which is where a wheel is unpacked to. */
export const librariesFolder = (movedFolder: string) => join(movedFolder, 'libtensorflow', 'tensorflow')

/**
 * Puts the prebuilt addon into an installation. A TensorFlow elsewhere is linked as a folder: through links to its files it would not find the libraries
 * of CUDA beside it.
 */
export function placePrebuilt(
  { folder }: PrebuiltAddon,
  { addon, movedFolder, tensorflow: { libraries } }: Pick<Build, 'addon' | 'movedFolder' | 'tensorflow'>,
) {
  copyFileSync(join(folder, addonFile), join(addon, addonFile))
  const [expected, home] = [librariesFolder(movedFolder), dirname(libraries[0] as string)]
  if (home === expected) return
  mkdirSync(dirname(expected), { recursive: true })
  symlinkSync(home, expected, 'dir')
}
