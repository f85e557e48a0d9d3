/** Why CUDA does not start although TensorFlow was built for it, and what to do about it. */
import type { CudaFailure } from '../engine/card-use.ts'
import type { LoadedTensorFlow } from '../engine/graphics-card.ts'
import { outputOf } from '../machine/programs.ts'

/** The library of the driver that CUDA runs on. */
const driverLibrary = 'libcuda.so.1'

/** How long TensorFlow may take to load. */
const timeoutSeconds = 60

/**
 * Asks the loader for the driver's library. If it is there, TensorFlow is loaded once more in another process, because only its log names the error.
 * @returns what is known; undefined where that is nothing.
 */
export async function findCudaFailure({ module, selection }: LoadedTensorFlow): Promise<CudaFailure | undefined> {
  const missing = loaderError(driverLibrary)
  if (missing !== undefined)
    return { error: `the driver's library cannot be loaded (${missing})`, remedy: remedies.library }
  const env = { ...selection.selecting, TF_CPP_MIN_LOG_LEVEL: '0' }
  const log = await outputOf(process.execPath, ['-e', 'require(process.argv[1])', module], { env, timeoutSeconds })
  return failureIn(log)
}

/** Why the loader does not load a library; undefined where it does. Node reports another error then, since the library is no addon. */
function loaderError(library: string): string | undefined {
  try {
    process.dlopen({ exports: {} }, library)
  } catch (error) {
    const { message } = error as Error
    return /did not self-register/.test(message) ? undefined : message
  }
  return undefined
}

/** The error of CUDA in the log of TensorFlow. */
export function failureIn(log: string): CudaFailure | undefined {
  const lines = log.split('\n').map((line) => line.replace(/^.*?\.cc:\d+\] /, '').trim())
  const isAbout = (about: RegExp) => lines.find((line) => about.test(line))
  const failed = isAbout(/failed call to cuInit/i)
  if (failed !== undefined) {
    const error = failed.replace(/^(failed call to cuInit: )INTERNAL: CUDA error: Failed call to cuInit: /, '$1')
    return { error, remedy: /NO_DEVICE|no CUDA-capable device/i.test(error) ? remedies.device : remedies.driver }
  }
  const libraries = isAbout(/cannot dlopen some GPU libraries|could not load dynamic library/i)
  if (libraries !== undefined)
    return { error: 'TensorFlow does not find the libraries of NVIDIA', remedy: remedies.wheels }
  const other = isAbout(/CUDA_ERROR_|could not find cuda drivers/i)
  return other === undefined ? undefined : { error: other, remedy: remedies.driver }
}

const container = 'a container must be started with its cards (docker run --gpus all)'
const remedies = {
  library: `install NVIDIA's driver with its CUDA library; ${container}`,
  device: `unset CUDA_VISIBLE_DEVICES if it is set; ${container}`,
  driver: `restart the machine if the driver was updated; ${container}`,
  wheels: 'ltx-a2a setup-tensorflow without --from and --python downloads them',
}
