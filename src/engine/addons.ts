/** The installations of tfjs-node that this process can load: that of `ltx-a2a setup-tensorflow`, and those of npm. */
import { createRequire } from 'node:module'
import { resolve } from 'node:path'
import type { CudaBuild } from '../machine/nvidia.ts'
import { subfolder } from '../platform/user-folders.ts'
import { cudaBuildOf, npmCudaBuild } from './cuda-build.ts'
import { addonFolder, defaultDataFolder, loadInstallation, readInstallation } from './installation.ts'

export type Addon = {
  /** As in `from tfjs-node`. */
  origin: string
  /** What its TensorFlow can use of graphics cards; undefined if it has no CUDA. */
  build: CudaBuild | undefined
  /** What `require` loads: the folder of the package, or its name. */
  module: string
  /** Registers the backend `tensorflow`. @throws Error where it does not start. */
  load(): void
}

/** In order of preference. Each returns undefined where it is not installed, and throws where its record is damaged. */
export const addonSources: readonly (() => Addon | undefined)[] = [
  () => {
    const folder = subfolder(defaultDataFolder(), 'tensorflow')
    const installation = folder === undefined ? undefined : readInstallation(folder)
    if (folder === undefined || installation === undefined) return undefined
    const [library = ''] = installation.libraries
    return {
      origin: `from ${installation.from}`,
      build: cudaBuildOf(resolve(folder, library)),
      module: addonFolder(folder),
      load: () => void loadInstallation(folder),
    }
  },
  () => ofNpm('tfjs-node-gpu', npmCudaBuild),
  () => ofNpm('tfjs-node', undefined),
]

const require = createRequire(import.meta.url)

function ofNpm(name: string, build: CudaBuild | undefined): Addon | undefined {
  const packageName = `@tensorflow/${name}`
  try {
    require.resolve(packageName)
  } catch {
    return undefined
  }
  return { origin: `from ${name}`, build, module: packageName, load: () => require(packageName) }
}
