/** Finds TensorFlow: the one that was named, otherwise the one that Python has installed, otherwise the one that pip downloads. */
import { createWriteStream, existsSync, readdirSync, realpathSync, statSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { openPromise } from 'yauzl'
import { firstProgram, ProgramError, runProgram } from '../machine/programs.ts'
import { UserError } from '../platform/errors.ts'

/** The headers and libraries of a TensorFlow. The first library is the main one. */
export type TensorFlowLibrary = { include: string; libraries: string[] }

/** `from` describes it in messages. */
export type TensorFlowSource = TensorFlowLibrary & { from: string }

export type TensorFlowChoice = {
  /** A folder, an archive or a wheel. */
  from?: string | undefined
  /** The Python to look in. */
  python?: string | undefined
}

/**
 * @param unpacked a folder that does not exist yet, for archives and wheels. An installed TensorFlow is used where it is.
 * @throws UserError when no TensorFlow is found.
 */
export async function obtainTensorFlow(
  { from, python }: TensorFlowChoice,
  unpacked: string,
  signal?: AbortSignal,
): Promise<TensorFlowSource> {
  if (from !== undefined)
    return statSync(existing(from)).isDirectory() ? inFolder(from) : inFile(from, unpacked, signal)
  const interpreter = await findPython(python)
  return (await installedIn(interpreter)) ?? (await downloaded(interpreter, unpacked, signal))
}

function existing(path: string): string {
  if (existsSync(path)) return path
  throw new UserError(`${path} does not exist`, { hint: 'give --from a folder, a .tar.gz or a .whl of TensorFlow' })
}

function inFolder(folder: string): TensorFlowSource {
  const library = findLibrary(realpathSync(folder))
  if (library) return { ...library, from: `the folder ${resolve(folder)}` }
  throw new UserError(`${folder} holds no TensorFlow with its C headers`, {
    hint: 'expected include/tensorflow/c/eager/c_api.h and libtensorflow, as in the tensorflow Python package or the C archive',
  })
}

async function inFile(file: string, unpacked: string, signal?: AbortSignal): Promise<TensorFlowSource> {
  await mkdir(unpacked, { recursive: true })
  if (/\.whl$/i.test(file)) await unpackWheel(file, unpacked)
  else if (/\.(tar(\.\w+)?|tgz|tbz2?|txz)$/i.test(file)) await unpackArchive(file, unpacked, signal)
  else
    throw new UserError(`${file} is neither a .tar.gz nor a .whl`, {
      hint: 'unpack it, and give --from the folder that holds include and lib',
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

async function findPython(chosen: string | undefined): Promise<string> {
  const python = await firstProgram(chosen === undefined ? ['python3', 'python'] : [chosen], ['--version'])
  if (python !== undefined) return python
  if (chosen !== undefined)
    throw new UserError(`--python ${chosen} does not run`, { hint: 'give the path of a Python interpreter' })
  throw new UserError('no Python was found to get TensorFlow from', {
    hint: 'install python3 with pip, or give --from a folder, a .tar.gz or a .whl of TensorFlow',
  })
}

/** Locates the package without importing it, which would take seconds. */
const locateScript = `
import importlib.util
spec = importlib.util.find_spec('tensorflow')
print(next(iter(spec.submodule_search_locations or []), '') if spec else '')`

async function installedIn(python: string): Promise<TensorFlowSource | undefined> {
  const folder = (await runProgram(python, ['-c', locateScript]).catch(() => '')).trim()
  const library = folder === '' ? undefined : findLibrary(realpathSync(folder))
  return library && { ...library, from: `the Python package in ${folder}` }
}

/** The C library in a wheel does not depend on the version of Python, so a Python that is too new for TensorFlow works too. */
const pythonVersion = '3.12'

async function downloaded(python: string, unpacked: string, signal?: AbortSignal): Promise<TensorFlowSource> {
  const wheels = `${unpacked}.wheels`
  const options = ['--no-deps', '--only-binary=:all:', '--python-version', pythonVersion, '--dest', wheels, '--quiet']
  let firstError: unknown
  for (const name of ['tensorflow-cpu', 'tensorflow']) {
    try {
      await runProgram(python, ['-m', 'pip', 'download', ...options, name], { signal })
      const [wheel] = readdirSync(wheels)
      const source = await inFile(join(wheels, wheel as string), unpacked, signal)
      await rm(wheels, { recursive: true })
      return source
    } catch (error) {
      if (!(error instanceof ProgramError)) throw error
      firstError ??= error
    }
  }
  throw new UserError(`pip could not download TensorFlow (${python} -m pip download tensorflow-cpu)`, {
    hint: 'install the tensorflow package into some Python, or give --from a folder, a .tar.gz or a .whl of it',
    cause: firstError,
  })
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
  const pythons = existsSync(lib) ? readdirSync(lib).filter((name) => /^python3/.test(name)) : []
  return [
    folder,
    join(folder, 'tensorflow'),
    ...pythons.map((python) => join(lib, python, 'site-packages', 'tensorflow')),
  ]
}

const libraryNames = (name: string, platform: NodeJS.Platform) =>
  platform === 'darwin' ? [`${name}.2.dylib`, `${name}.dylib`] : [`${name}.so.2`, `${name}.so`]

/** The libraries, and the headers that the C interface includes. Eigen and others would be a hundred times as many. */
const wantedFiles = /^tensorflow\/(libtensorflow[^/]*|include\/(tensorflow|tsl|xla)\/.*\.(h|inc))$/

/**
 * Unpacks TensorFlow's C headers and libraries out of its wheel, to `folder/tensorflow`.
 * @throws UserError when the file is not a wheel of TensorFlow.
 */
export async function unpackWheel(wheel: string, folder: string): Promise<void> {
  const archive = await openPromise(wheel, { lazyEntries: true, autoClose: false }).catch((cause) => {
    throw new UserError(`${wheel} is not a wheel`, { hint: 'download it again', cause })
  })
  try {
    let files = 0
    for await (const entry of archive.eachEntry()) {
      if (!wantedFiles.test(entry.fileName)) continue
      const path = join(folder, entry.fileName) // yauzl refuses paths that lead out of the folder
      await mkdir(dirname(path), { recursive: true })
      await pipeline(await archive.openReadStreamPromise(entry), createWriteStream(path))
      files++
    }
    if (files === 0)
      throw new UserError(`${basename(wheel)} holds no TensorFlow libraries`, {
        hint: 'give the wheel of tensorflow or tensorflow-cpu for Linux or macOS',
      })
  } catch (cause) {
    if (cause instanceof UserError) throw cause
    throw new UserError(`${wheel} could not be unpacked to ${folder}`, {
      hint: 'download it again, and check the free space',
      cause,
    })
  } finally {
    archive.close()
  }
}
