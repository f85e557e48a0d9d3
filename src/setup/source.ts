/** Where TensorFlow comes from: what the person names, else what Python has installed, else what pip downloads. */
import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { UserError } from '../errors.ts'
import { findLayout, type Layout } from './layout.ts'
import { firstProgram, ProgramError, runProgram } from './programs.ts'
import { unpackWheel } from './wheel.ts'

/** `from` is for people. What was unpacked lies in the folder that was given for it; what was found stays where it is. */
export type TensorFlowSource = Layout & { from: string }

export type TensorFlowWish = {
  /** A folder, an archive or a wheel. */
  from?: string | undefined
  /** The Python to ask. */
  python?: string | undefined
}

/**
 * @param unpacked a folder that does not exist yet, for what must be unpacked.
 * @throws UserError when there is no TensorFlow where it should be, or none to be had.
 */
export async function obtainTensorFlow({ from, python }: TensorFlowWish, unpacked: string): Promise<TensorFlowSource> {
  if (from !== undefined) return statSync(existing(from)).isDirectory() ? inFolder(from) : inFile(from, unpacked)
  const interpreter = await findPython(python)
  return (await installedIn(interpreter)) ?? (await downloaded(interpreter, unpacked))
}

function existing(path: string): string {
  if (existsSync(path)) return path
  throw new UserError(`${path} does not exist`, { hint: 'give --from a folder, a .tar.gz or a .whl of TensorFlow' })
}

function inFolder(folder: string): TensorFlowSource {
  const layout = findLayout(realpathSync(folder))
  if (layout) return { ...layout, from: `the folder ${resolve(folder)}` }
  throw new UserError(`${folder} holds no TensorFlow with its C headers`, {
    hint: 'expected include/tensorflow/c/eager/c_api.h and libtensorflow, as in the tensorflow Python package or the C archive',
  })
}

async function inFile(file: string, unpacked: string): Promise<TensorFlowSource> {
  await mkdir(unpacked, { recursive: true })
  if (/\.whl$/i.test(file)) await unpackWheel(file, unpacked)
  else if (/\.(tar(\.\w+)?|tgz|tbz2?|txz)$/i.test(file)) await unpackArchive(file, unpacked)
  else
    throw new UserError(`${file} is neither a .tar.gz nor a .whl`, {
      hint: 'unpack it, and give --from the folder that holds include and lib',
    })
  const layout = findLayout(unpacked)
  if (layout) return { ...layout, from: shortName(basename(file)) }
  throw new UserError(`${file} holds no TensorFlow with its C headers`, {
    hint: 'give a TensorFlow C archive (libtensorflow-…) or a wheel of tensorflow or tensorflow-cpu',
  })
}

/** `tensorflow_cpu-2.21.0-cp312-cp312-manylinux_2_27_x86_64.whl` → `tensorflow_cpu-2.21.0` */
const shortName = (file: string) => file.replace(/^([^-]+-[^-]+)-.*\.whl$/i, '$1')

async function unpackArchive(file: string, folder: string) {
  await runProgram('tar', ['-xf', resolve(file), '-C', folder]).catch((cause) => {
    throw new UserError(`${file} could not be unpacked`, { hint: 'download it again, and check the free space', cause })
  })
}

async function findPython(wished: string | undefined): Promise<string> {
  const python = await firstProgram(wished === undefined ? ['python3', 'python'] : [wished], ['--version'])
  if (python !== undefined) return python
  if (wished !== undefined)
    throw new UserError(`--python ${wished} does not run`, { hint: 'give the path of a Python interpreter' })
  throw new UserError('no Python was found to get TensorFlow from', {
    hint: 'install python3 with pip, or give --from a folder, a .tar.gz or a .whl of TensorFlow',
  })
}

/** Asks where the package lies without importing it, which would take seconds. */
const whereScript = `
import importlib.util
spec = importlib.util.find_spec('tensorflow')
print(next(iter(spec.submodule_search_locations or []), '') if spec else '')`

async function installedIn(python: string): Promise<TensorFlowSource | undefined> {
  const folder = (await runProgram(python, ['-c', whereScript]).catch(() => '')).trim()
  const layout = folder === '' ? undefined : findLayout(realpathSync(folder))
  return layout && { ...layout, from: `the Python package in ${folder}` }
}

/** The C library in a wheel does not depend on Python's version, so a Python that is too new for TensorFlow will do. */
const pythonVersion = '3.12'

async function downloaded(python: string, unpacked: string): Promise<TensorFlowSource> {
  const wheels = `${unpacked}.wheels`
  const options = ['--no-deps', '--only-binary=:all:', '--python-version', pythonVersion, '--dest', wheels, '--quiet']
  let refusal: unknown
  for (const name of ['tensorflow-cpu', 'tensorflow']) {
    try {
      await runProgram(python, ['-m', 'pip', 'download', ...options, name])
      const [wheel] = readdirSync(wheels)
      const source = await inFile(join(wheels, wheel as string), unpacked)
      await rm(wheels, { recursive: true })
      return source
    } catch (error) {
      if (!(error instanceof ProgramError)) throw error
      refusal ??= error
    }
  }
  throw new UserError(`pip could not download TensorFlow (${python} -m pip download tensorflow-cpu)`, {
    hint: 'install the tensorflow package into some Python, or give --from a folder, a .tar.gz or a .whl of it',
    cause: refusal,
  })
}
