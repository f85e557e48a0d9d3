import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, it } from 'vitest'
import { startBackend } from '../../src/engine/backend.ts'
import { failureOf, openWebGpu, webGpuFacts } from '../../src/engine/webgpu/backend.ts'
import { UserError } from '../../src/platform/errors.ts'

beforeAll(() => startBackend('webgpu'))

it('names the adapter and what it takes', async () => {
  const { description } = await startBackend('webgpu')
  const facts = webGpuFacts()
  expect(facts?.largestTensor).toBeGreaterThanOrEqual(2 ** 27)
  expect(description).toContain(facts?.name as string)
})

it('leaves no global that keeps the process running', () => {
  expect((globalThis as { navigator?: { gpu?: unknown } }).navigator?.gpu).toBeUndefined()
})

it('adds more tensors than a program can bind', async () => {
  const sum = tf.tidy(() => tf.addN(Array.from({ length: 61 }, (_, i) => tf.fill([3], i))))
  expect([...(await sum.data())]).toEqual([1830, 1830, 1830])
})

it('refuses to read synchronously what is on the device only', () => {
  const x = tf.exp(tf.fill([2000], 1))
  expect(() => x.dataSync()).toThrow(/synchronous/)
  x.dispose()
})

it('keeps the values of a clone when the variable is assigned', async () => {
  const variable = tf.variable(tf.tensor1d([1, 2]))
  const before = variable.clone()
  variable.assign(tf.tensor1d([3, 4]))
  expect([...(await before.data()), ...(await variable.data())]).toEqual([1, 2, 3, 4])
  variable.dispose()
})

describe('an error', () => {
  /** On a device of its own, because the first error ends the work on a device. */
  async function readAfter(fail: (device: GPUDevice) => void) {
    const { device, createBackend } = await openWebGpu()
    const backend = await createBackend()
    const dataId = backend.write(Float32Array.of(1), [1], 'float32')
    backend.uploadToGPU(dataId)
    fail(device)
    await device.queue.onSubmittedWorkDone().catch(() => undefined)
    return backend.read(dataId)
  }

  it('of validation is thrown where values are read next, with what was refused', async () => {
    const everyUsage = 0xffffff
    await expect(readAfter((device) => void device.createBuffer({ size: 16, usage: everyUsage }))).rejects.toThrow(
      /^WebGPU refused a program: .*16777215/,
    )
  })

  it('by which the device is lost is one that the user can correct', async () => {
    const failure = await readAfter((device) => device.destroy()).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(UserError)
    expect(failure).toMatchObject({
      code: 'machine_error',
      message: expect.stringMatching(/^the graphics card stopped/),
    })
  })

  it('for lack of memory is one that the user can correct', () => {
    class GPUOutOfMemoryError extends Error {}
    const error = failureOf(new GPUOutOfMemoryError('no memory'))
    expect(error).toBeInstanceOf(UserError)
    expect(error).toMatchObject({ code: 'machine_error', message: 'the graphics card has too little memory' })
  })
})
