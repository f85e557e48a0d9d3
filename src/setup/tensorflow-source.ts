/** Finds TensorFlow: the one that was named, otherwise one from the package index. */
import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { cardsHere } from '../engine/card-use.ts'
import { readCards } from '../machine/nvidia.ts'
import { firstProgram, ProgramError, runProgram } from '../machine/programs.ts'
import { UserError } from '../platform/errors.ts'
import type { Reporter } from '../platform/progress.ts'
import { chooseDevice, type DeviceFlags } from './tensorflow-device.ts'
import { obtainWheels, type WheelFolders } from './tensorflow-wheels.ts'
import { unpackWheel } from './wheel-archive.ts'

/** The headers and libraries of a TensorFlow. The first library is the main one. */
export type TensorFlowLibrary = { include: string; libraries: string[] }

/** `from` describes it in messages. */
export type TensorFlowSource = TensorFlowLibrary & {
  from: string
  /** Whether it was set up to compute on a graphics card. */
  isForCuda?: boolean
}

/** `cpu` and `cuda` are about what is downloaded. */
export type TensorFlowChoice = DeviceFlags & {
  /** A folder, an archive or a wheel. */
  from?: string | undefined
  /** A Python that has TensorFlow installed. */
  python?: string | undefined
}

/** Whether TensorFlow is downloaded. @throws UserError for choices that exclude each other. */
export function isDownloaded({ from, python, cpu, cuda }: TensorFlowChoice): boolean {
  const given = [from !== undefined && '--from', python !== undefined && '--python', cpu && '--cpu', cuda && '--cuda']
  const [one, another] = given.filter((flag) => typeof flag === 'string')
  if (one && another) throw new UserError(`both ${one} and ${another} were given`, { hint: 'keep one of them' })
  return from === undefined && python === undefined
}

/**
 * @param folders `unpacked` does not exist yet, and is for archives and wheels. An installed TensorFlow is used where it is.
 * @param version the one to download if there is a choice.
 * @throws UserError when no TensorFlow is found.
 */
export async function obtainTensorFlow(
  { from, python, ...flags }: TensorFlowChoice,
  folders: WheelFolders,
  reporter: Reporter,
  version?: string,
): Promise<TensorFlowSource> {
  if (from !== undefined)
    return statSync(existing(from)).isDirectory() ? inFolder(from) : inFile(from, folders.unpacked, reporter.signal)
  if (python !== undefined) return installedIn(python, reporter.signal)
  const { reason, warning, ...choice } = chooseDevice(flags, cardsHere(flags.cpu ? { cards: [] } : await readCards()))
  reporter.info(reason)
  if (warning !== undefined) reporter.warn(warning)
  const name = await obtainWheels({ ...choice, version }, folders, reporter)
  const library = findLibrary(folders.unpacked)
  if (library) return { ...library, from: name, isForCuda: choice.device === 'CUDA' }
  throw new UserError(`the wheel ${name} holds no TensorFlow with its C headers`, {
    hint: 'give --from a TensorFlow C archive (libtensorflow-…) or another wheel',
  })
}

function existing(path: string): string {
  if (existsSync(path)) return path
  if (/^\w+:\/\//.test(path))
    throw new UserError(`--from takes a folder or a file, not the URL ${path}`, {
      hint: 'download the file first, or leave out --from: then TensorFlow is downloaded from the package index',
    })
  throw new UserError(`${path} does not exist`, { hint: fromHint })
}

const fromHint = 'give --from a folder, a .tar.gz or a .whl of TensorFlow'

function inFolder(folder: string): TensorFlowSource {
  const library = findLibrary(realpathSync(folder))
  if (library) return { ...withoutColon(library), from: `the folder ${resolve(folder)}` }
  throw new UserError(`${folder} holds no TensorFlow with its C headers`, {
    hint: 'expected include/tensorflow/c/eager/c_api.h and libtensorflow, as in the tensorflow Python package or the C archive',
  })
}

/** @throws UserError for a folder that the addon could not find its libraries in. */
function withoutColon(library: TensorFlowLibrary): TensorFlowLibrary {
  const [path = ''] = library.libraries
  if (!path.includes(':')) return library
  throw new UserError(`${path} has a colon in its path, which the run path of a library cannot have`, {
    hint: 'move TensorFlow to a folder without one',
  })
}

async function inFile(file: string, unpacked: string, signal?: AbortSignal): Promise<TensorFlowSource> {
  await mkdir(unpacked, { recursive: true })
  if (/\.whl$/i.test(file)) await unpackWheel(file, unpacked, undefined, signal)
  else if (/\.(tar(\.\w+)?|tgz|tbz2?|txz)$/i.test(file)) await unpackArchive(file, unpacked, signal)
  else
    throw new UserError(`${file} is neither a folder nor a .tar.gz or a .whl`, {
      hint: /\.(zip|conda|7z)$/i.test(file)
        ? 'unpack it, and give --from the folder that holds include and lib'
        : fromHint,
    })
  const library = findLibrary(unpacked)
  if (library) return { ...library, from: shortName(basename(file)) }
  throw new UserError(`${file} holds no TensorFlow with its C headers`, {
    hint: 'give a TensorFlow C archive (libtensorflow-…) or a wheel of tensorflow or tensorflow-cpu',
  })
}

/** `tensorflow_cpu-2.21.0-cp312-cp312-manylinux_2_27_x86_64.whl` → `tensorflow_cpu-2.21.0` */
const shortName = (file: string) => file.replace(/^([^-]+-[^-]+)-.*\.whl$/i, '$1')

async function unpackArchive(file: string, folder: string, signal?: AbortSignal) {
  await runProgram('tar', ['-xf', resolve(file), '-C', folder], { signal }).catch((cause) => {
    throw new UserError(`${file} could not be unpacked`, { hint: 'download it again, and check the free space', cause })
  })
}

/** Locates the package without importing it, which would take seconds. */
const locateScript = `
import importlib.util
spec = importlib.util.find_spec('tensorflow')
print(next(iter(spec.submodule_search_locations or []), '') if spec else '')`

async function installedIn(python: string, signal: AbortSignal): Promise<TensorFlowSource> {
  if (python.includes('\0') || (await firstProgram([python], ['--version'], signal)) === undefined)
    throw new UserError(`--python ${python} does not run`, { hint: 'give the path of a Python interpreter' })
  const output = await runProgram(python, ['-c', locateScript], { signal }).catch((error) => {
    signal.throwIfAborted()
    if (error instanceof ProgramError) return ''
    throw error
  })
  const folder = output.trim().split('\n').at(-1) ?? '' // a site's customization may print something before it
  const library = isFolder(folder) ? findLibrary(realpathSync(folder)) : undefined
  if (library) return { ...withoutColon(library), from: `the Python package in ${folder}` }
  throw new UserError(`${python} has no tensorflow package with its C headers`, {
    hint: `install it there (${python} -m pip install tensorflow), or leave out --python to download it`,
  })
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory()
  } catch {
    return false // missing, or not a path
  }
}

/**
 * Looks for TensorFlow in a folder that may be the Python package, its parent, a Python or conda environment, or an unpacked C archive. The Python
 * package has `libtensorflow_cc` beside `include`, the others have `libtensorflow` in `lib`; `_framework` accompanies both.
 */
export function findLibrary(
  folder: string,
  platform: NodeJS.Platform = process.platform,
): TensorFlowLibrary | undefined {
  for (const root of candidateFolders(folder)) {
    const include = join(root, 'include')
    if (!existsSync(join(include, 'tensorflow', 'c', 'eager', 'c_api.h'))) continue
    for (const place of [root, join(root, 'lib')]) {
      const [main, framework] = [['_cc', ''], ['_framework']].map((endings) =>
        endings
          .flatMap((ending) => libraryNames(`libtensorflow${ending}`, platform))
          .map((name) => join(place, name))
          .find((path) => existsSync(path)),
      )
      if (main) return { include, libraries: framework ? [main, framework] : [main] }
    }
  }
  return undefined
}

function candidateFolders(folder: string): string[] {
  const lib = join(folder, 'lib')
  const pythons = isFolder(lib) ? readdirSync(lib).filter((name) => /^python3/.test(name)) : []
  return [
    folder,
    join(folder, 'tensorflow'),
    ...pythons.map((python) => join(lib, python, 'site-packages', 'tensorflow')),
  ]
}

const libraryNames = (name: string, platform: NodeJS.Platform) =>
  platform === 'darwin' ? [`${name}.2.dylib`, `${name}.dylib`] : [`${name}.so.2`, `${name}.so`]
