/**
 * Kernels of our own, in WGSL, on the device of TensorFlow.js's backend: tensors are bound where they lie, and results are tensors without a copy. They are
 * recorded into the command encoder of the backend, so that the order of all work is that of the calls.
 *
 * Layouts of bindings are explicit: what a kernel binds and does not use is no error. Whatever the device refuses is reported with the kernel's name, which
 * is the label of its pipeline and its bind groups, and ends the work where values are read next (`backend.ts`).
 */
import * as tf from '@tensorflow/tfjs'
import type { WebGpuBackend } from './backend.ts'

/** The type of the elements of a buffer. Four values of a `vec4` are one element. */
export type ElementType = 'f32' | 'i32' | 'u32' | 'vec4<f32>' | 'vec2<u32>'

/** What is needed to run a program: see `defineKernel`. */
export type Kernel = {
  name: string
  source: string
  uniforms: readonly (readonly [name: string, type: 'i32' | 'f32'])[]
  buffers: readonly GPUBufferBindingType[]
}

export type KernelDefinition = {
  /** In messages, and where dispatches are counted. */
  name: string
  /** The names of what it reads and writes, in the order in which tensors are given. Written buffers may be read, too. */
  reads: Readonly<Record<string, ElementType>>
  writes: Readonly<Record<string, ElementType>>
  /** Numbers, `u.name` in the code. */
  uniforms?: Readonly<Record<string, 'i32' | 'f32'>>
  /** How many invocations a workgroup has. */
  invocations: number
  /** Functions, and variables of the workgroup. */
  declarations?: string
  /** Sees `t`, the invocation within its workgroup, `group` (vec3<i32>), and `groups`, how many there are in each direction. */
  body: string
}

export function defineKernel({ name, reads, writes, uniforms = {}, ...definition }: KernelDefinition): Kernel {
  const variables = [
    ...Object.entries(reads).map(([name, type]) => `var<storage, read> ${name}: array<${type}>;`),
    ...Object.entries(writes).map(([name, type]) => `var<storage, read_write> ${name}: array<${type}>;`),
  ]
  const numbers = Object.entries(uniforms)
  const struct = `struct Uniforms { ${numbers.map(([name, type]) => `${name}: ${type}`).join(', ')} }`
  const source = `
${variables.map((variable, binding) => `@group(0) @binding(${binding}) ${variable}`).join('\n')}
${numbers.length > 0 ? `${struct}\n@group(0) @binding(${variables.length}) var<uniform> u: Uniforms;` : ''}
${definition.declarations ?? ''}
@compute @workgroup_size(${definition.invocations})
fn main(
  @builtin(local_invocation_index) index: u32,
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
) {
  let t = i32(index);
  let group = vec3<i32>(workgroup);
  let groups = vec3<i32>(workgroups);
${definition.body}
}`
  const buffers: GPUBufferBindingType[] = [
    ...Object.keys(reads).map(() => 'read-only-storage' as const),
    ...Object.keys(writes).map(() => 'storage' as const),
  ]
  return { name, source, uniforms: numbers, buffers }
}

export type Dispatch = {
  /** In the order of the definition. */
  reads: readonly tf.Tensor[]
  /** The shapes of the results, which are float32, or tensors that are changed in place. */
  writes: readonly (readonly number[] | tf.Tensor)[]
  uniforms?: Readonly<Record<string, number>>
  /** Up to 65,535 in each direction. */
  workgroups: readonly [x: number, y?: number, z?: number]
}

/** Runs a kernel. @returns what it writes. */
export function run(kernel: Kernel, { reads, writes, uniforms = {}, workgroups }: Dispatch): tf.Tensor[] {
  const backend = tf.backend() as unknown as RecordingBackend
  const results = writes.map((target) => (target instanceof tf.Tensor ? target : newTensor(backend, target)))
  const tensors = [...reads, ...results]
  if (tensors.length !== kernel.buffers.length) throw new Error(`${kernel.name} binds ${kernel.buffers.length} tensors`)
  const entries = tensors.map((tensor, binding) => ({ binding, resource: { buffer: bufferOf(backend, tensor) } }))
  const device = openDevice(backend.device)
  if (kernel.uniforms.length > 0)
    entries.push({ binding: tensors.length, resource: { buffer: uniformBuffer(device, kernel, uniforms) } })
  const { pipeline, layout } = pipelineOf(device, kernel)
  const bindings = backend.device.createBindGroup({ label: kernel.name, layout, entries })
  backend.ensureCommandEncoderReady()
  backend.computePassEncoder ??= backend.commandEncoder.beginComputePass()
  const pass = backend.computePassEncoder
  pass.setPipeline(pipeline)
  pass.setBindGroup(0, bindings)
  pass.dispatchWorkgroups(...(workgroups as [number, number?, number?]))
  backend.dispatchCountInPass++
  if (backend.dispatchCountInPass >= tf.env().getNumber('WEBGPU_DEFERRED_SUBMIT_BATCH_SIZE')) {
    backend.endComputePassEncoder()
    backend.submitQueue()
  }
  return results
}

/** What the backend records its own programs with, which TypeScript cannot see. */
type RecordingBackend = Pick<WebGpuBackend, 'device' | 'uploadToGPU' | 'makeTensorInfo' | 'submitQueue'> & {
  tensorMap: { get(dataId: object): { resource: GPUBuffer; values: unknown } }
  /** Buffers of these tensors are not used again before what was recorded is submitted. */
  commandQueueOwnedIds: WeakSet<object>
  commandEncoder: GPUCommandEncoder
  computePassEncoder: GPUComputePassEncoder | null
  dispatchCountInPass: number
  ensureCommandEncoderReady(): void
  endComputePassEncoder(): void
}

function newTensor(backend: RecordingBackend, shape: readonly number[]): tf.Tensor {
  const { dataId } = backend.makeTensorInfo([...shape], 'float32')
  return tf.engine().makeTensorFromDataId(dataId, [...shape], 'float32', tf.backend() as never)
}

function bufferOf(backend: RecordingBackend, { dataId }: tf.Tensor): GPUBuffer {
  backend.tensorMap.get(dataId) // moves what another backend has
  backend.uploadToGPU(dataId)
  backend.commandQueueOwnedIds.add(dataId)
  return backend.tensorMap.get(dataId).resource
}

type OpenDevice = {
  device: GPUDevice
  pipelines: Map<string, { pipeline: GPUComputePipeline; layout: GPUBindGroupLayout }>
  uniforms: Map<string, GPUBuffer>
}

const devices = new WeakMap<GPUDevice, OpenDevice>()

function openDevice(device: GPUDevice): OpenDevice {
  const open = devices.get(device) ?? { device, pipelines: new Map(), uniforms: new Map() }
  devices.set(device, open)
  return open
}

function pipelineOf({ device, pipelines }: OpenDevice, { name, source, uniforms, buffers }: Kernel) {
  const known = pipelines.get(source)
  if (known) return known
  const types = [...buffers, ...(uniforms.length > 0 ? (['uniform'] as const) : [])]
  const layout = device.createBindGroupLayout({
    label: name,
    entries: types.map((type, binding) => ({ binding, visibility: GPUShaderStage.COMPUTE, buffer: { type } })),
  })
  const pipeline = device.createComputePipeline({
    label: name,
    layout: device.createPipelineLayout({ label: name, bindGroupLayouts: [layout] }),
    compute: { module: device.createShaderModule({ label: name, code: source }), entryPoint: 'main' },
  })
  pipelines.set(source, { pipeline, layout })
  return { pipeline, layout }
}

/** Uniforms repeat from step to step: there is one buffer for each content. */
function uniformBuffer({ device, uniforms }: OpenDevice, kernel: Kernel, values: Readonly<Record<string, number>>) {
  const words = new DataView(new ArrayBuffer(16 * Math.ceil(kernel.uniforms.length / 4)))
  let key = ''
  for (const [i, [name, type]] of kernel.uniforms.entries()) {
    const value = values[name]
    if (value === undefined) throw new Error(`${kernel.name} lacks the uniform ${name}`)
    if (type === 'i32') words.setInt32(4 * i, value, true)
    else words.setFloat32(4 * i, value, true)
    key += `${words.getInt32(4 * i, true)},`
  }
  const known = uniforms.get(key)
  if (known) return known
  if (uniforms.size >= maxUniformBuffers) uniforms.clear() // what is recorded keeps its buffers
  const buffer = device.createBuffer({
    label: kernel.name,
    size: words.byteLength,
    usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
  })
  device.queue.writeBuffer(buffer, 0, words.buffer)
  uniforms.set(key, buffer)
  return buffer
}

const maxUniformBuffers = 10_000
