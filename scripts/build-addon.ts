/**
 * Builds the addon for this platform into `prebuilt/<platform>/`, which the npm package contains, so that its users need no compiler. `npm run
 * build:addon` downloads TensorFlow; `-- --from <path>` uses a folder or a wheel. Build on the oldest Linux that should run it.
 */
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { addonFolder, installationFolder, ownTfjs, writeInstallation } from '../src/engine/installation.ts'
import { replaceJson } from '../src/platform/files.ts'
import { createReporter, type ProgressEvent } from '../src/platform/progress.ts'
import { type Build, buildAddon, findCompiler, includedHeaders } from '../src/setup/addon.ts'
import {
  type AddonManifest,
  headersChecksum,
  librariesFolder,
  platformName,
  prebuiltFolder,
} from '../src/setup/prebuilt-addon.ts'
import { examine } from '../src/setup/tensorflow.ts'
import { obtainTensorFlow } from '../src/setup/tensorflow-source.ts'
import { addonFile, extensionsChecksum, fetchTfjsNode, nodeHeaders } from '../src/setup/tfjs-node.ts'

/**
 * Builds the addon and checks that it computes correctly.
 * @param from as for `setup-tensorflow`. @param root where the folder of this platform is written.
 */
export async function makePrebuilt(from?: string, root = prebuiltFolder): Promise<AddonManifest> {
  const compiler = await findCompiler()
  const work = mkdtempSync(join(tmpdir(), 'ltx-a2a-addon-'))
  try {
    const folder = installationFolder(work)
    const addon = addonFolder(folder)
    const folders = { downloads: join(work, 'downloads'), unpacked: dirname(librariesFolder(folder)) }
    const reporter = createReporter<ProgressEvent>({ onEvent: printMessage })
    const source = await obtainTensorFlow(from === undefined ? { cpu: true } : { from }, folders, reporter)
    const { version: tfjs } = ownTfjs()
    await fetchTfjsNode(addon, tfjs)
    const tensorflow = atLibrariesFolder(source, folder)
    const flags = process.platform === 'linux' ? linuxFlags : []
    const build: Build = { addon, nodeHeaders: nodeHeaders(addon), tensorflow, movedFolder: folder, flags }
    await buildAddon(compiler, build)
    writeInstallation(folder, { tfjs, from: source.from, libraries: tensorflow.libraries })
    const { native } = await examine(work)
    const headers = await includedHeaders(compiler, build)
    const manifest = manifestOf(build, headers, tfjs, native.version)
    const target = join(root, manifest.platform)
    mkdirSync(target, { recursive: true })
    copyFileSync(join(addon, addonFile), join(target, addonFile))
    replaceJson(join(target, 'manifest.json'), manifest)
    return manifest
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

function printMessage(event: ProgressEvent) {
  if (event.type === 'info') console.log(event.message)
}

/** The C++ runtime is in it, so that an older system is no obstacle. `-s` leaves out the names of functions. */
const linuxFlags = ['-static-libstdc++', '-Wl,--exclude-libs,ALL', '-Wl,--gc-sections', '-s']

/** The same TensorFlow at the path relative to the addon where a setup unpacks wheels. */
function atLibrariesFolder({ include, libraries }: Build['tensorflow'], folder: string): Build['tensorflow'] {
  const place = librariesFolder(folder)
  if (!existsSync(place)) {
    mkdirSync(dirname(place), { recursive: true })
    symlinkSync(dirname(libraries[0] as string), place, 'dir')
  }
  return { include, libraries: libraries.map((path) => join(place, basename(path))) }
}

function manifestOf({ addon, tensorflow }: Build, headers: string[], tfjs: string, version: string): AddonManifest {
  const sha256 = headersChecksum(tensorflow.include, headers)
  if (headers.length === 0 || sha256 === undefined) throw new Error(`no headers were found in ${tensorflow.include}`)
  const glibc = neededGlibc(readFileSync(join(addon, addonFile), 'latin1'))
  return {
    platform: platformName(process),
    tfjs,
    tensorflow: version,
    extensions: extensionsChecksum(),
    headers: { files: headers, sha256 },
    libraries: tensorflow.libraries.map((path) => basename(path)),
    ...(glibc !== undefined && { glibc }),
  }
}

/** The newest version among the names of the functions that a library needs, as `GLIBC_2.34`. */
function neededGlibc(library: string): string | undefined {
  const minors = [...library.matchAll(/GLIBC_2\.(\d+)/g)].map(([, minor]) => Number(minor))
  return minors.length === 0 ? undefined : `2.${Math.max(...minors)}`
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { from: { type: 'string' } } })
  const { platform, tensorflow, glibc = 'none' } = await makePrebuilt(values.from)
  console.log(`${join(prebuiltFolder, platform, addonFile)}: for TensorFlow ${tensorflow}, needs glibc ${glibc}`)
}
