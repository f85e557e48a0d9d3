import * as tf from '@tensorflow/tfjs'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { type BackendName, currentBackend, leaseBackend, startBackend } from '../../src/engine/backend.ts'
import { matMul } from '../../src/engine/matmul.ts'
import { checkInstructions, isNative } from '../../src/engine/native.ts'
import { currentPrecision, isEmulated, probeMatMul } from '../../src/engine/precision.ts'
import { needsNative } from '../needs.ts'
import { hasNative } from './native.ts'

afterEach(() => void vi.unstubAllEnvs())

const product = () => [
  ...matMul(tf.tensor2d([1, 2, 3, 4], [2, 2]), tf.tensor2d([5, 6, 7, 8], [2, 2]), { transposeB: true }).dataSync(),
]

describe('a process', () => {
  it('can switch between backends and back to the first one', async () => {
    const names: BackendName[] = ['wasm', 'cpu', ...(hasNative ? (['tensorflow'] as const) : []), 'wasm']
    for (const name of names) {
      const { passedOver } = await startBackend(name)
      expect(passedOver).toEqual([])
      expect(currentBackend()).toBe(name)
      expect(isNative()).toBe(name === 'tensorflow')
      expect(product()).toEqual([17, 23, 39, 53])
    }
  })

  it.skipIf(hasNative)('has no variables for native TensorFlow where that does not start', async () => {
    vi.stubEnv('TF_CPP_MIN_LOG_LEVEL', '1')
    for (const name of ['TF_FORCE_GPU_ALLOW_GROWTH', 'TF_ENABLE_ONEDNN_OPTS']) vi.stubEnv(name, undefined)
    const before = { ...process.env }
    await startBackend('auto')
    await expect(startBackend('tensorflow')).rejects.toThrow('the tensorflow backend cannot be used here')
    expect(process.env).toEqual(before)
  })

  it('has no additional listeners for uncaught errors after starting a backend', async () => {
    const counts = () => [process.listenerCount('uncaughtException'), process.listenerCount('unhandledRejection')]
    const before = counts()
    await startBackend('wasm')
    expect(counts()).toEqual(before)
  })

  it('keeps a listener for uncaught errors that the program adds while a backend starts', async () => {
    const listener = () => undefined
    const started = startBackend('wasm')
    process.on('uncaughtException', listener)
    await started
    expect(process.listeners('uncaughtException')).toContain(listener)
    process.off('uncaughtException', listener)
  })

  it('keeps the tensors of one backend usable when another is started', async () => {
    await startBackend('wasm')
    const x = tf.tensor1d([1, 2, 3])
    const doubled = tf.mul(x, 2)
    await startBackend(hasNative ? 'tensorflow' : 'cpu')
    expect([...tf.add(doubled, x).dataSync()]).toEqual([3, 6, 9])
  })

  it('can change the precision each time native TensorFlow is started', async () => {
    await startBackend('wasm', { precision: 'bfloat16' })
    expect(currentPrecision()).toBe('float32') // the only precision of wasm
    if (!hasNative) return
    await startBackend('tensorflow', { precision: 'half' })
    expect(currentPrecision()).toBe('half')
    vi.stubEnv('LTX_A2A_PRECISION', 'float32')
    await startBackend('tensorflow')
    expect(currentPrecision()).toBe('float32')
    vi.stubEnv('LTX_A2A_PRECISION', 'bfloat16')
    expect(currentPrecision()).toBe('float32') // until the next start
    await startBackend('tensorflow')
    expect(currentPrecision()).toBe('bfloat16')
    vi.stubEnv('LTX_A2A_PRECISION', '')
    await startBackend('tensorflow')
    expect(currentPrecision()).toBe(isEmulated('bfloat16') ? 'float32' : 'bfloat16')
  })

  it('refuses unknown instructions', async () => {
    for (const name of ['', 'baseline', 'avx2', 'amx'])
      expect(() => checkInstructions({ LTX_A2A_INSTRUCTIONS: name })).not.toThrow()
    vi.stubEnv('LTX_A2A_INSTRUCTIONS', 'AVX2')
    await expect(startBackend('auto')).rejects.toThrow('LTX_A2A_INSTRUCTIONS is AVX2') // not another backend instead
  })

  it.skipIf(!hasNative)('refuses an unknown precision', needsNative, async () => {
    vi.stubEnv('LTX_A2A_PRECISION', 'float16')
    await startBackend('tensorflow')
    expect(currentPrecision).toThrow('LTX_A2A_PRECISION is float16')
  })
})

describe('runs in one process', () => {
  it('share a backend that they start at the same time', async () => {
    const leases = await Promise.all([leaseBackend('wasm'), leaseBackend('wasm'), leaseBackend('wasm')])
    expect(leases.map(({ name }) => name)).toEqual(['wasm', 'wasm', 'wasm'])
    expect(currentBackend()).toBe('wasm')
    expect(product()).toEqual([17, 23, 39, 53])
    for (const { release } of leases) release()
  })

  it('cannot use different backends at the same time', async () => {
    const first = await leaseBackend('wasm')
    const second = await leaseBackend('wasm')
    first.release()
    first.release() // counts once
    const refused = { message: 'another run in this process uses the wasm backend, not cpu' }
    await expect(leaseBackend('cpu')).rejects.toMatchObject(refused)
    expect(currentBackend()).toBe('wasm')
    second.release()
    const third = await leaseBackend('cpu')
    expect(currentBackend()).toBe('cpu')
    await expect(leaseBackend('auto')).rejects.toThrow('another run in this process uses the cpu backend, not auto')
    third.release()
  })

  it('share the backend that was chosen automatically', async () => {
    const leases = [await leaseBackend('auto'), await leaseBackend('auto')]
    expect(leases[0]?.name).toBe(leases[1]?.name)
    for (const { release } of leases) release()
  })
})

describe('the probe of matrix products', () => {
  it('measures the speed of float32 on every backend', async () => {
    for (const name of ['wasm', ...(hasNative ? (['tensorflow'] as const) : [])] as BackendName[]) {
      await startBackend(name)
      const probe = await probeMatMul('float32')
      expect(probe).toMatchObject({ works: true, roundsToNearest: true })
      expect(probe.works && probe.gigaflops).toBeGreaterThan(0.1)
    }
  })

  it('finds bfloat16 only on native TensorFlow', async () => {
    await startBackend('wasm')
    expect(await probeMatMul('bfloat16')).toEqual({ works: false, reason: 'only native TensorFlow has it' })
    if (!hasNative) return
    await startBackend('tensorflow')
    const emulated = { works: false, reason: 'emulated on this processor' }
    expect(await probeMatMul('bfloat16')).toMatchObject(isEmulated('bfloat16') ? emulated : { works: true })
  })
})
