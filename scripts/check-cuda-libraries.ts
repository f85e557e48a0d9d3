/**
 * Whether TensorFlow's CUDA build finds the libraries of NVIDIA where `ltx-a2a setup-tensorflow` puts them:
 * `npx tsx scripts/check-cuda-libraries.ts <wheel>`. It needs a C++ compiler and the package index, from which it takes `nvidia-cuda-runtime-cu12`. No
 * graphics card: a library without cards stands in for the driver. Linux x64 only.
 */
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { createReporter } from '../src/platform/progress.ts'
import { findLibrary } from '../src/setup/tensorflow-source.ts'
import { defaultEnv, findWheels } from '../src/setup/tensorflow-wheels.ts'
import { nvidiaContents, unpackWheel } from '../src/setup/wheel-archive.ts'
import { fetchWheels, pathOf } from '../src/setup/wheel-download.ts'

const [wheel] = process.argv.slice(2)
if (wheel === undefined) throw new Error('give the wheel of tensorflow')

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'ltx-a2a-cuda-')))
try {
  await unpackWheel(wheel, folder)
  await unpackRuntime(folder)
  const log = await listDevices(folder)
  const [, loaded] = /calling init: (\S+\/libcudart\.so\.12)/.exec(log) ?? []
  const expected = join(folder, 'nvidia', 'cuda_runtime', 'lib', 'libcudart.so.12')
  if (loaded !== undefined && normalize(loaded) === expected)
    console.log('TensorFlow for CUDA loads libcudart.so.12 from the folder nvidia beside it')
  else {
    console.error(`TensorFlow did not load ${expected}:\n${log.split('\n').filter(isAboutCuda).join('\n')}`)
    process.exitCode = 1
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}

async function unpackRuntime(unpacked: string) {
  const fetching = { ...(await defaultEnv()), folder: join(unpacked, 'downloads'), reporter: createReporter() }
  const [runtime] = await findWheels('nvidia-cuda-runtime-cu12', fetching)
  if (runtime === undefined) throw new Error('the package index has no nvidia-cuda-runtime-cu12 for this machine')
  await fetchWheels([runtime], fetching)
  await unpackWheel(pathOf(runtime, fetching.folder), unpacked, nvidiaContents)
}

/** @returns what the loader reports. */
async function listDevices(unpacked: string): Promise<string> {
  const library = findLibrary(unpacked)
  if (!library) throw new Error(`${wheel} holds no TensorFlow with its C headers`)
  const source = (name: string) => fileURLToPath(new URL(`kernels/${name}`, import.meta.url))
  const [driver, program] = [join(unpacked, 'driver'), join(unpacked, 'list-devices')]
  mkdirSync(driver)
  await execa('cc', ['-shared', '-fPIC', source('stub-cuda.c'), '-o', join(driver, 'libcuda.so.1')])
  const { include, libraries } = library
  const runPath = `-Wl,-rpath,${dirname(libraries[0] as string)}`
  await execa(process.env.CXX || 'c++', [
    source('list-devices.cc'),
    `-I${include}`,
    ...libraries,
    runPath,
    '-o',
    program,
  ])
  const { stderr } = await execa(program, { env: { LD_LIBRARY_PATH: driver, LD_DEBUG: 'libs' } })
  return stderr
}

function isAboutCuda(line: string) {
  return /libcud/.test(line)
}
