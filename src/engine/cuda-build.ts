/** What a TensorFlow was built for, before it is loaded: whether it can use NVIDIA's graphics cards, and which. */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type CudaBuild, cudaWheel } from '../machine/nvidia.ts'

/** The package `@tensorflow/tfjs-node-gpu`, which downloads TensorFlow 2.9. Its PTX for 8.0 is compiled for newer cards by the driver. */
export const npmCudaBuild: CudaBuild = {
  name: 'TensorFlow 2.9',
  computeCapabilities: ['3.5', '9.0'],
  driver: '450.80.02',
}

/** The oldest driver of each version of CUDA (NVIDIA's release notes, "minor version compatibility"). */
export const oldestDrivers: Readonly<Record<string, string>> = { 11: '450.80.02', 12: '525.60.13', 13: '580.65.06' }

/** Whether the package index has wheels of TensorFlow for CUDA for a machine. */
export const hasCudaWheels = ({ platform, arch }: { platform: string; arch: string } = process) =>
  platform === 'linux' && arch === 'x64'

/**
 * Reads what the Python package of TensorFlow says of its build. Without that, it is taken for the wheel of 2.21.
 * @param library the path of TensorFlow's main library. In the package, it is beside the folder `python`.
 * @returns undefined for a build that computes on CPUs only.
 */
export function cudaBuildOf(library: string): CudaBuild | undefined {
  const path = join(dirname(library), 'python', 'platform', 'build_info.py')
  if (!existsSync(path)) return { ...cudaWheel, isAssumed: true }
  const text = readFileSync(path, 'utf8')
  if (/'is_cuda_build', False/.test(text)) return undefined
  const [, cuda = ''] = /'cuda_version', '(\d+)/.exec(text) ?? []
  const capabilities = [...text.matchAll(/'(?:sm|compute)_(\d+)(\d)[a-z]?'/g)].map(([, major, minor]) => [major, minor])
  const sorted = capabilities.sort(([a, b], [c, d]) => Number(a) - Number(c) || Number(b) - Number(d))
  const [oldest, newest] = [sorted.at(0), sorted.at(-1)].map((parts) => parts?.join('.'))
  return {
    name: 'this build of TensorFlow',
    computeCapabilities: oldest && newest ? [oldest, newest] : cudaWheel.computeCapabilities,
    driver: oldestDrivers[cuda] ?? cudaWheel.driver,
  }
}
