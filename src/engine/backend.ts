/**
 * Which TensorFlow.js backend computes: native TensorFlow where there is one (it uses the GPU if it has one), else WebAssembly, which installs
 * everywhere, else plain JavaScript.
 */
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import util from 'node:util'
import * as tf from '@tensorflow/tfjs'
import { hasWideVectors } from '../machine/hardware.ts'
import { UserError } from '../platform/errors.ts'
import { loadInstallation } from './installation.ts'

export type BackendName = 'tensorflow' | 'wasm' | 'cpu'
export type BackendChoice = 'auto' | BackendName

/** What was chosen, and for each backend that was passed over, why. */
export type Backend = { name: BackendName; description: string; passedOver: { name: BackendName; reason: string }[] }

const starters: Record<BackendName, () => Promise<string>> = {
  tensorflow: startTensorFlow,
  wasm: startWasm,
  cpu: async () => 'plain JavaScript, slow',
}

/**
 * Starts the first backend that works, in the order tensorflow, wasm, cpu, or the named one alone.
 * @throws UserError when the named backend is not to be had here.
 */
export async function startBackend(choice: BackendChoice = 'auto'): Promise<Backend> {
  tf.enableProdMode()
  const passedOver: Backend['passedOver'] = []
  for (const name of choice === 'auto' ? (['tensorflow', 'wasm', 'cpu'] as const) : [choice]) {
    try {
      const description = await starters[name]()
      if (!(await tf.setBackend(name))) throw new Error('it did not start')
      await tf.ready()
      return { name, description, passedOver }
    } catch (cause) {
      const reason = firstLine(cause)
      if (choice !== 'auto')
        throw new UserError(`the ${name} backend cannot be used here: ${reason}`, {
          hint: name === 'tensorflow' ? 'run ltx-a2a setup-tensorflow, or use --backend auto' : 'use --backend auto',
          cause,
        })
      passedOver.push({ name, reason })
    }
  }
  throw new Error('no TensorFlow.js backend starts')
}

/** The backend that is computing now. */
export const currentBackend = () => tf.getBackend() as BackendName

/** What native TensorFlow says of itself. */
export type NativeFacts = { version: string; device: 'GPU' | 'CPU' }

/** @throws Error unless the backend that is computing now is native TensorFlow. */
export function nativeFacts(): NativeFacts {
  if (currentBackend() !== 'tensorflow') throw new Error(`${currentBackend()} is not native TensorFlow`)
  const { binding } = tf.backend() as unknown as { binding: { TF_Version: string; isUsingGpuDevice(): boolean } }
  return { version: binding.TF_Version, device: binding.isUsingGpuDevice() ? 'GPU' : 'CPU' }
}

/** Whether native TensorFlow computes on a processor without AVX-512, for which some of its kernels are missing or slow. */
export const hasNarrowVectors = () => nativeFacts().device === 'CPU' && !hasWideVectors()

const require = createRequire(import.meta.url)

/** tfjs-node, in order of preference: what it was loaded from, in words, or undefined where there is none. */
const addons: (() => string | undefined)[] = [
  () => {
    const installation = loadInstallation()
    return installation && `from ${installation.from}`
  },
  ...['tfjs-node-gpu', 'tfjs-node'].map((name) => () => {
    try {
      require(`@tensorflow/${name}`)
      return `from ${name}`
    } catch (error) {
      if (isNotInstalled(error, name)) return undefined
      throw error
    }
  }),
]

async function startTensorFlow(): Promise<string> {
  restoreUtil()
  process.env.TF_CPP_MIN_LOG_LEVEL ??= hasWideVectors() ? '2' : '3' // else it complains that bfloat16 is foreign, which is known
  process.env.TF_FORCE_GPU_ALLOW_GROWTH ??= 'true' // otherwise TensorFlow takes the whole card
  process.env.TF_ENABLE_ONEDNN_OPTS ??= '1' // by itself TensorFlow does so from AVX-512 on only; others multiply half as fast again with it
  const failures: unknown[] = []
  for (const load of addons) {
    try {
      const from = load()
      if (from === undefined) continue
      await tf.setBackend('tensorflow')
      const { version, device } = nativeFacts()
      return `TensorFlow ${version} on the ${device}, ${from}`
    } catch (error) {
      failures.push(error)
    }
  }
  throw failures[0] ?? new Error('no native TensorFlow is set up')
}

/** tfjs-node 4.22 calls functions that Node 22 warns of and Node 23 removed. */
function restoreUtil() {
  const legacy = util as unknown as Record<string, unknown>
  legacy.isNullOrUndefined = (value: unknown) => value === null || value === undefined
  legacy.isArray = Array.isArray
}

const isNotInstalled = (error: unknown, name: string) =>
  (error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND' && firstLine(error).includes(`'@tensorflow/${name}'`)

async function startWasm(): Promise<string> {
  const { setWasmPaths } = await import('@tensorflow/tfjs-backend-wasm')
  setWasmPaths(join(dirname(require.resolve('@tensorflow/tfjs-backend-wasm')), '/'))
  return 'WebAssembly, one thread'
}

const firstLine = (error: unknown) => String((error as Error)?.message ?? error).split('\n', 1)[0] as string
