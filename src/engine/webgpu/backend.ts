/**
 * The WebGPU backend of TensorFlow.js on Dawn, the implementation of WebGPU in Chromium, which the npm package `webgpu` has for Node.js. It reaches cards
 * of all makers with the drivers that are there: Vulkan on Linux, Metal on macOS, Direct3D 12 on Windows. The device is created here, with all that the
 * adapter offers, and its errors end the work: by themselves they would leave wrong values in tensors.
 */
import * as tf from '@tensorflow/tfjs'
import { UserError } from '../../platform/errors.ts'
import { sizeText } from '../../platform/text.ts'

/** What is known of the adapter, which is a graphics card or software that takes its place. */
export type WebGpuFacts = {
  /** As in `NVIDIA GeForce RTX 4090`. */
  name: string
  /** Whether a processor computes in its place. */
  isSoftware: boolean
  /** The largest tensor, in bytes: what a program can bind at once. */
  largestTensor: number
}

/** Registers the backend `webgpu`; `tf.setBackend('webgpu')` then starts it. @throws UserError where there is no adapter, or the packages are missing. */
export async function registerWebGpu(): Promise<string> {
  if (!registered) {
    registered = await openWebGpu()
    tf.removeBackend('webgpu')
    tf.registerBackend('webgpu', registered.createBackend, priority)
    replaceAddN()
  }
  return describe(registered.facts)
}

/** The adapter of the backend; undefined before it was registered. */
export const webGpuFacts = (): WebGpuFacts | undefined => registered?.facts

/** Whether the current backend is `webgpu`. */
export const isWebGpu = () => tf.getBackend() === 'webgpu'

const describe = ({ name, isSoftware, largestTensor }: WebGpuFacts) =>
  `${name}${isSoftware ? ', which is software' : ''}, tensors of up to ${sizeText(largestTensor)}`

/** A device, and backends of TensorFlow.js that compute on it. */
export type OpenedWebGpu = {
  facts: WebGpuFacts
  device: GPUDevice
  createBackend(): Promise<WebGpuBackend>
}

let registered: OpenedWebGpu | undefined

/** @throws UserError where there is no adapter, or the packages are missing. */
export async function openWebGpu(): Promise<OpenedWebGpu> {
  const { create, globals } = await optionalPackage<typeof import('webgpu')>('webgpu')
  for (const [name, value] of Object.entries(globals)) (globalThis as Record<string, unknown>)[name] ??= value
  const gpu = create([]) // Dawn stops where nothing refers to it
  const { WebGPUBackend } = await withNavigator(gpu, importBackend)
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' })
  if (!adapter)
    throw new UserError('there is no graphics card with a driver for WebGPU', {
      hint: 'install the driver of the card (on Linux with Vulkan)',
    })
  const device = await adapter.requestDevice({
    requiredFeatures: wantedFeatures.filter((feature) => adapter.features.has(feature)),
    requiredLimits: Object.fromEntries(wantedLimits.map((limit) => [limit, adapter.limits[limit]])),
  })
  const { throwIfFailed } = watchDevice(device)
  const { description, device: model, vendor, isFallbackAdapter } = adapter.info
  return {
    facts: {
      name: model || description || vendor || 'an unknown card',
      isSoftware: isFallbackAdapter,
      largestTensor: adapter.limits.maxStorageBufferBindingSize,
    },
    device,
    createBackend: () =>
      withNavigator(gpu, async () => checkReads(new WebGPUBackend(device, adapter.info), throwIfFailed)),
  }
}

/** Of the backends; TensorFlow.js uses it only where none is named. */
const priority = 0

const wantedFeatures: GPUFeatureName[] = ['timestamp-query']

/** TensorFlow.js's programs need no others. */
const wantedLimits = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxComputeWorkgroupStorageSize',
  'maxComputeWorkgroupsPerDimension',
  'maxComputeWorkgroupSizeX',
  'maxComputeInvocationsPerWorkgroup',
] as const

type WebGpuPackage = typeof import('@tensorflow/tfjs-backend-webgpu')
export type WebGpuBackend = InstanceType<WebGpuPackage['WebGPUBackend']>

/** The package registers a backend of its own where it finds an adapter later; it is replaced. */
const importBackend = () => optionalPackage<WebGpuPackage>('@tensorflow/tfjs-backend-webgpu')

/** @throws UserError where the package is not installed, or has no build for this system. */
async function optionalPackage<Package>(name: string): Promise<Package> {
  try {
    return await import(name)
  } catch (cause) {
    throw new UserError(`the npm package ${name} cannot be loaded: ${(cause as Error).message.split('\n', 1)[0]}`, {
      hint: 'install ltx-a2a with its optional dependencies',
      cause,
    })
  }
}

/** TensorFlow.js looks for `navigator.gpu` when its package is loaded, and when a backend is created. A global that stays would keep Node.js running. */
async function withNavigator<T>(gpu: GPU, work: () => Promise<T>): Promise<T> {
  const scope = globalThis as { navigator?: object }
  const isNew = scope.navigator === undefined
  if (isNew) Object.defineProperty(scope, 'navigator', { value: {}, configurable: true })
  Object.defineProperty(scope.navigator, 'gpu', { value: gpu, configurable: true })
  try {
    return await work()
  } finally {
    if (isNew) delete scope.navigator
    else delete (scope.navigator as { gpu?: GPU }).gpu
  }
}

/** Remembers the first error of the device: later ones follow from it. Errors never reach the call that caused them. */
function watchDevice(device: GPUDevice) {
  let failure: Error | undefined
  device.addEventListener('uncapturederror', ({ error }) => {
    failure ??= failureOf(error)
  })
  void device.lost.then(({ message }) => {
    failure ??= lossOf(message)
  })
  return {
    throwIfFailed: () => {
      if (failure) throw failure
    },
  }
}

/** @param error its message names the program. */
export function failureOf(error: GPUError): Error {
  const message = error.message.trim()
  if (error.constructor.name !== 'GPUOutOfMemoryError') return new Error(`WebGPU refused a program: ${message}`)
  return new UserError('the graphics card has too little memory', {
    hint: 'train shorter clips or a smaller rank, or use --backend wasm',
    code: 'machine_error',
    cause: new Error(message),
  })
}

function lossOf(message: string): Error {
  const why = message.trim().split('\n', 1)[0]
  return new UserError(`the graphics card stopped answering${why ? `: ${why}` : ''}`, {
    hint: 'what was saved can be resumed; check the driver and the temperature of the card',
    code: 'machine_error',
  })
}

/** Values that are read after an error of the device are wrong: reading throws the error. */
function checkReads(backend: WebGpuBackend, throwIfFailed: () => void): WebGpuBackend {
  const read = backend.read.bind(backend)
  backend.read = async (dataId) => {
    throwIfFailed()
    try {
      return await read(dataId)
    } catch (error) {
      await backend.device.queue.onSubmittedWorkDone().catch(() => undefined) // what was wrong is known after this
      throwIfFailed()
      throw error
    } finally {
      throwIfFailed()
    }
  }
  backend.readSync = (dataId) => {
    const { values } = backend.tensorMap.get(dataId)
    if (values) return values
    throw new Error('WebGPU has no synchronous reads')
  }
  return backend
}

/** TensorFlow.js's kernel binds all its inputs at once. With more than the device allows it changes nothing, and its result has old values. */
function replaceAddN() {
  const kernelFunc: tf.KernelFunc = ({ inputs, backend: anyBackend }) => {
    const backend = anyBackend as WebGpuBackend
    const add = (tf.getKernel(tf.Add, 'webgpu') as tf.KernelConfig).kernelFunc
    const [first, ...rest] = Object.values(inputs) as [tf.TensorInfo, ...tf.TensorInfo[]]
    let sum = first
    for (const next of rest) {
      const before = sum
      sum = add({ inputs: { a: before, b: next }, backend, attrs: {} }) as tf.TensorInfo
      if (before !== first) backend.disposeData(before.dataId)
    }
    if (sum === first) backend.incRef(first.dataId)
    return { dataId: sum.dataId, shape: sum.shape, dtype: sum.dtype }
  }
  tf.unregisterKernel(tf.AddN, 'webgpu')
  tf.registerKernel({ kernelName: tf.AddN, backendName: 'webgpu', kernelFunc })
}
