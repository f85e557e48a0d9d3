/**
 * Which TensorFlow.js backend computes: native TensorFlow where an addon is installed (it uses the GPU if it has one), else WebAssembly,
 * which installs everywhere, else plain JavaScript.
 */
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import util from 'node:util'
import * as tf from '@tensorflow/tfjs'
import { UserError } from '../errors.ts'

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
          hint:
            name === 'tensorflow' ? 'install @tensorflow/tfjs-node-gpu or use --backend wasm' : 'use --backend auto',
          cause,
        })
      passedOver.push({ name, reason })
    }
  }
  throw new Error('no TensorFlow.js backend starts')
}

/** The backend that is computing now. */
export const currentBackend = () => tf.getBackend() as BackendName

const require = createRequire(import.meta.url)

async function startTensorFlow(): Promise<string> {
  // tfjs-node 4.22 calls a function that Node 23 removed
  const legacy = util as unknown as Record<string, unknown>
  legacy.isNullOrUndefined ??= (value: unknown) => value === null || value === undefined
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '2'
  process.env.TF_FORCE_GPU_ALLOW_GROWTH ??= 'true' // otherwise TensorFlow takes the whole card
  const failures: unknown[] = []
  for (const addon of ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node']) {
    try {
      const { version } = require(addon) as { version: Record<string, string> }
      return `native TensorFlow through ${addon.split('/')[1]} ${version['tfjs-core'] ?? ''}`.trim()
    } catch (error) {
      failures.push(error)
    }
  }
  const isBroken = failures.find((error) => (error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND')
  throw new Error(isBroken ? firstLine(isBroken) : 'tfjs-node is not installed')
}

async function startWasm(): Promise<string> {
  const { setWasmPaths } = await import('@tensorflow/tfjs-backend-wasm')
  setWasmPaths(join(dirname(require.resolve('@tensorflow/tfjs-backend-wasm')), '/'))
  return 'WebAssembly, one thread'
}

const firstLine = (error: unknown) => String((error as Error)?.message ?? error).split('\n', 1)[0] as string
