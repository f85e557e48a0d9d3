/**
 * The WebAssembly backend of TensorFlow.js on several threads. The package @tensorflow/tfjs-backend-wasm contains a build with threads, but starts it only
 * in browsers. This file starts it in Node.js: it creates the Emscripten module and gives it to the package's backend.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import type { Worker } from 'node:worker_threads'
import * as tf from '@tensorflow/tfjs'
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm'
import { addressSpaceLimit, idleProcessors, physicalCores } from '../machine/hardware.ts'
import { UserError } from '../platform/errors.ts'
import { sizeText } from '../platform/text.ts'

/**
 * Registers the backend `wasm`; `tf.setBackend('wasm')` then starts it. The results do not depend on the number of threads. Where threads do not start, it
 * uses one. Tensors of a backend that was registered with another number of threads are lost.
 * @param threads from 1 to 8; default: one for each core that other processes leave idle now, at most 8. A thread without a core of its own
 *   would slow down all others, because they busy-wait for each other.
 * @returns a description of the backend, with the reason where threads did not start.
 */
export async function registerWasm(threads?: number, machine = thisMachine): Promise<string> {
  if (registered && registered.requested === threads) return registered.description
  const wasm = await import('@tensorflow/tfjs-backend-wasm')
  shareClones()
  wasm.setWasmPaths(join(dirname(packagePath('')), '/'))
  const ownFactory = registered?.ownFactory ?? (tf.findBackendFactory('wasm') as BackendFactory)
  const { module, used, description } = await startThreads(threads, machine)
  const factory: BackendFactory = async () => {
    wasm.setThreadsCount(used)
    const backend = new wasm.BackendWasm(module as never)
    for (const worker of module?.PThread.runningWorkers ?? []) worker.unref() // threads that wait for work do not keep the process running
    return backend
  }
  tf.removeBackend('wasm')
  tf.registerBackend('wasm', module ? factory : ownFactory, priority)
  registered = { requested: threads, description, ownFactory }
  return description
}

/** Lets a clone share the memory of its tensor, as on other backends. The kernel of this one copies it, and what is saved for a backward pass is a clone. */
function shareClones() {
  const kernelFunc: tf.KernelFunc = ({ inputs, backend }) => {
    const { dataId, shape, dtype } = inputs.x as tf.TensorInfo
    ;(backend as BackendWasm).incRef(dataId)
    return { dataId, shape, dtype }
  }
  tf.unregisterKernel(tf.Identity, 'wasm')
  tf.registerKernel({ kernelName: tf.Identity, backendName: 'wasm', kernelFunc })
}

/** What is known of the machine, and of the limits of this process. */
type Machine = {
  physicalCores(): number
  idleProcessors(seconds: number): Promise<number>
  addressSpaceLimit(): number
}

const thisMachine: Machine = { physicalCores, idleProcessors, addressSpaceLimit }

/** @returns the module where it uses several threads. */
async function startThreads(
  requested: number | undefined,
  { physicalCores, idleProcessors, addressSpaceLimit }: Machine,
): Promise<{ module?: Module; used: number; description: string }> {
  const most = requested ?? Math.min(physicalCores(), maxThreads)
  if (most === 1) return { used: 1, description: 'WebAssembly, one thread' }
  try {
    requireAddressSpace(addressSpaceLimit())
    const [module, idle] = await Promise.all([startModule(most), requested ?? idleProcessors(observedSeconds)])
    const used = Math.min(most, Math.max(1, Math.round(idle)))
    endUnusedWorkers(module, used)
    if (used > 1) return { module, used, description: `WebAssembly, ${used} threads${used < most ? busy : ''}` }
    return { used, description: `WebAssembly, one thread${busy}` }
  } catch (error) {
    return { used: 1, description: `WebAssembly, one thread, because more did not start: ${(error as Error).message}` }
  }
}

const busy = ', because other programs keep the other cores busy'

/** With less, V8 may fail to reserve the memory of a worker and end the process, which no program can catch. */
const minAddressSpace = 24 * 2 ** 30

/** @throws Error where the address space is limited too much. */
function requireAddressSpace(limit: number) {
  if (limit < minAddressSpace) throw new Error(`the address space is limited to ${sizeText(limit)}`)
}

/** The build starts eight workers. The main thread is one of the threads. */
function endUnusedWorkers({ PThread: { unusedWorkers } }: Module, threads: number) {
  for (const worker of unusedWorkers.splice(threads - 1)) void worker.terminate()
}

/** About as long as the threads take to start. */
const observedSeconds = 0.1

/**
 * The environment variable `LTX_A2A_THREADS`; undefined where it is not set.
 * @throws UserError when it is not a possible number of threads.
 */
export function threadsFromEnvironment({ LTX_A2A_THREADS: text }: NodeJS.ProcessEnv = process.env): number | undefined {
  if (!text) return undefined
  const threads = /^\d+$/.test(text) ? Number(text) : 0
  if (threads >= 1 && threads <= maxThreads) return threads
  throw new UserError(`LTX_A2A_THREADS is ${text}`, {
    hint: `set it to a number from 1 to ${maxThreads}, or unset it: then there is one thread for each idle physical core, at most ${maxThreads}`,
  })
}

type BackendFactory = () => Promise<BackendWasm>

/** `ownFactory` is the package's, with one thread. */
let registered: { requested: number | undefined; description: string; ownFactory: BackendFactory } | undefined

/** WebAssembly cannot address more. */
export const wasmMemoryBytes = 2 ** 32

/** The number of workers that the build starts. */
const maxThreads = 8

/** The one that the package registers its backend with. */
const priority = 2

/** The parts of an Emscripten module that are used here. */
type Module = {
  cwrap(name: string, returns: 'number' | null, parameters: readonly 'number'[]): (...values: number[]) => number
  PThread: {
    unusedWorkers: EmscriptenWorker[]
    runningWorkers: EmscriptenWorker[]
    terminateAllThreads(): void
  }
}

/** Emscripten sets `onerror` on a worker of Node.js, and forwards its errors there. */
type EmscriptenWorker = Worker & { onerror: (error: Error) => void }

type Imports = { env: Record<string, unknown> }

/** Node's types do not include WebAssembly. */
declare const WebAssembly: {
  instantiate(bytes: Uint8Array, imports: Imports): Promise<{ instance: object; module: object }>
}

const startSeconds = 20

/** @throws Error when the module or one of its workers does not start, or not in time. */
async function startModule(threads: number): Promise<Module> {
  const script = packagePath('wasm-out/tfjs-backend-wasm-threaded-simd.js')
  const createModule = require(script) as (options: object) => Promise<Module>
  const { promise: failure, reject: fail } = promiseWithReject()
  const options: Partial<Module> & Record<string, unknown> = {
    mainScriptUrlOrBlob: script,
    printErr: (text: string) => (isStarting ? undefined : process.emitWarning(text)), // the reason for a failed start is thrown as well
    locateFile: (file: string) => (file.endsWith('.worker.js') ? workerUrl(script) : file),
    instantiateWasm: (imports: Imports, receive: (instance: object, module: object) => void) => {
      imports.env.emscripten_num_logical_cores = () => 2 * threads // the module has at most as many threads as half of them
      WebAssembly.instantiate(readFileSync(script.replace(/\.js$/, '.wasm')), imports).then(({ instance, module }) => {
        receive(instance, module)
        for (const worker of options.PThread?.unusedWorkers ?? []) worker.onerror = fail // Emscripten's throws where nothing catches it
      }, fail)
      return {}
    },
  }
  let isStarting = true
  const timer = new AbortController()
  try {
    const module = await Promise.race([createModule(options), failure, timeout(timer.signal)])
    return Object.assign(module, { tfjs: backendFunctions(module) })
  } catch (error) {
    options.PThread?.terminateAllThreads()
    throw error
  } finally {
    isStarting = false
    timer.abort()
  }
}

async function timeout(signal: AbortSignal): Promise<never> {
  await setTimeout(startSeconds * 1000, undefined, { signal })
  throw new Error(`the workers did not start in ${startSeconds} s`)
}

/** A promise that is only ever rejected; without an effect where nothing waits for it anymore. */
function promiseWithReject(): { promise: Promise<never>; reject: (error: unknown) => void } {
  let reject: (error: unknown) => void = () => undefined
  const promise = new Promise<never>((_, rejectPromise) => {
    reject = rejectPromise
  })
  promise.catch(() => undefined)
  return { promise, reject }
}

/** The functions of the module that the package's backend calls. */
const backendFunctions = ({ cwrap }: Module) => ({
  init: cwrap('init', null, []),
  initWithThreadsCount: cwrap('init_with_threads_count', null, ['number']),
  getThreadsCount: cwrap('get_threads_count', 'number', []),
  registerTensor: cwrap('register_tensor', null, ['number', 'number', 'number']),
  disposeData: cwrap('dispose_data', null, ['number']),
  dispose: cwrap('dispose', null, []),
})

const require = createRequire(import.meta.url)

const packagePath = (file: string) => require.resolve(join('@tensorflow/tfjs-backend-wasm', file))

/** The script of a worker. The package contains its code as a string, which expects the variables of a CommonJS module. */
function workerUrl(script: string): URL {
  const { wasmWorkerContents } = require(script.replace(/\.js$/, '.worker.js')) as { wasmWorkerContents: string }
  const code = `
    import { createRequire } from 'node:module'
    const [script, folder] = ${JSON.stringify([script, dirname(script)])}
    Object.assign(globalThis, { require: createRequire(script), __filename: script, __dirname: folder })
    globalThis.eval(${JSON.stringify(wasmWorkerContents.replace(/\n/g, '\\n'))})` // its strings contain real line breaks
  return new URL(`data:text/javascript,${encodeURIComponent(code)}`)
}
