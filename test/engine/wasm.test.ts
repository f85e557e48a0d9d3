import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import * as tf from '@tensorflow/tfjs'
import { getThreadsCount } from '@tensorflow/tfjs-backend-wasm'
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { startBackend } from '../../src/engine/backend.ts'
import { registerWasm, threadsFromEnvironment } from '../../src/engine/wasm.ts'
import { needs } from '../needs.ts'

afterEach(() => {
  vi.unstubAllEnvs()
  vi.unstubAllGlobals()
})

/** Node's types do not include WebAssembly. */
declare const WebAssembly: { Memory: new (options: { initial: number; shared?: boolean }) => object }

beforeAll(() => tf.disposeVariables()) // those that other tests left would belong to a backend that is replaced

async function startWithThreads(threads: number): Promise<string> {
  vi.stubEnv('LTX_A2A_THREADS', String(threads))
  return (await startBackend('wasm')).description
}

/** The bytes of a product, a softmax and sums that are large enough to be shared out among threads. */
function results(): Float32Array {
  return tf.tidy(() => {
    const matrix = (seed: number) => tf.randomNormal<tf.Rank.R2>([192, 192], 0, 1, 'float32', seed)
    const product = tf.matMul(matrix(1), matrix(2))
    const all = [product, tf.softmax(product), tf.mean(product, -1), tf.sigmoid(product)]
    return tf.concat1d(all.map((part) => tf.reshape(part, [-1]) as tf.Tensor1D)).dataSync() as Float32Array
  })
}

describe('the wasm backend', () => {
  it('computes the same bytes with any number of threads', async () => {
    const byThreads: Float32Array[] = []
    for (const threads of [1, 2, 4, 8, 1]) {
      expect(await startWithThreads(threads)).toBe(
        `WebAssembly, ${threads === 1 ? 'one thread' : `${threads} threads`}`,
      )
      byThreads.push(results())
      if (threads > 1) expect(getThreadsCount()).toBe(threads)
    }
    for (const other of byThreads.slice(1)) expect(other).toEqual(byThreads[0])
  })

  it('has one thread per physical core that is idle', async () => {
    const busy = ', because other programs keep the other cores busy'
    const cases: [cores: number, idle: number, description: string][] = [
      [4, 4, '4 threads'],
      [4, 8, '4 threads'], // of eight logical processors
      [4, 3.4, `3 threads${busy}`],
      [4, 1.6, `2 threads${busy}`],
      [4, 0.1, `one thread${busy}`],
      [1, 1, 'one thread'],
      [64, 56.4, '8 threads'],
    ]
    for (const [cores, idle, description] of cases) {
      await registerWasm(1) // so that it is registered again
      const machine = {
        physicalCores: () => cores,
        idleProcessors: async () => idle,
        addressSpaceLimit: () => Infinity,
      }
      expect(await registerWasm(undefined, machine)).toBe(`WebAssembly, ${description}`)
      await tf.setBackend('wasm')
      results()
    }
  })

  it('has one thread where the address space is too small for workers', async () => {
    await registerWasm(1)
    const machine = { physicalCores: () => 4, idleProcessors: async () => 4, addressSpaceLimit: () => 14e9 }
    expect(await registerWasm(undefined, machine)).toBe(
      'WebAssembly, one thread, because more did not start: the address space is limited to 14.00 GB',
    )
  })

  it.skipIf(process.platform !== 'linux')('survives a limit on the address space', needs('Linux'), () => {
    const backend = fileURLToPath(new URL('../../dist/engine/backend.js', import.meta.url))
    const script = `import(${JSON.stringify(backend)}).then(({ startBackend }) => startBackend("wasm")).then((b) => console.log(b.description))`
    const command = `ulimit -c 0; ulimit -v 14000000; exec "$0" -e '${script}'`
    const { stdout, status } = spawnSync('bash', ['-c', command, process.execPath], {
      env: { ...process.env, LTX_A2A_THREADS: '2' },
    })
    expect([String(stdout), status]).toEqual([expect.stringContaining('one thread, because'), 0])
  })

  it.skipIf(process.platform !== 'linux')('has no more workers than threads', needs('Linux'), async () => {
    const threads = () => readdirSync('/proc/self/task').length
    await startWithThreads(1)
    await setTimeout(200) // workers of earlier tests end
    const before = threads()
    await startWithThreads(3)
    await vi.waitFor(() => expect(threads() - before).toBe(2), { timeout: 10_000 })
  })

  it('has one thread where more do not start, and says why', async () => {
    const withoutSharedMemory = class extends WebAssembly.Memory {
      constructor(options: { initial: number; shared?: boolean }) {
        if (options.shared) throw new RangeError('could not allocate memory') // as under a limit of address space
        super(options)
      }
    }
    vi.stubGlobal('WebAssembly', Object.create(WebAssembly, { Memory: { value: withoutSharedMemory } }))
    expect(await startWithThreads(5)).toBe(
      'WebAssembly, one thread, because more did not start: could not allocate memory',
    )
    const alone = results()
    await startWithThreads(1)
    expect(results()).toEqual(alone)
  })

  it('shares the memory of a tensor with its clones', async () => {
    await startBackend('wasm')
    const x = tf.tensor1d([1, 2, 3])
    const buffers = tf.memory().numDataBuffers
    const copy = x.clone()
    expect(tf.memory().numDataBuffers).toBe(buffers)
    x.dispose()
    expect([...copy.dataSync()]).toEqual([1, 2, 3])
    const variable = tf.variable(copy)
    const before = variable.clone()
    variable.assign(tf.tensor1d([4, 5, 6]))
    expect([...before.dataSync()]).toEqual([1, 2, 3])
    tf.dispose([copy, before, variable])
  })

  it('refuses a number of threads that is not from 1 to 8', async () => {
    expect(threadsFromEnvironment({})).toBeUndefined()
    expect(threadsFromEnvironment({ LTX_A2A_THREADS: '8' })).toBe(8)
    for (const text of ['0', '9', '-1', '2.5', 'all'])
      expect(() => threadsFromEnvironment({ LTX_A2A_THREADS: text })).toThrow(`LTX_A2A_THREADS is ${text}`)
    vi.stubEnv('LTX_A2A_THREADS', '9')
    await expect(startBackend('auto')).rejects.toThrow('LTX_A2A_THREADS is 9') // not another backend instead
  })

  it('does not keep a process running', () => {
    const backend = fileURLToPath(new URL('../../src/engine/backend.ts', import.meta.url))
    const script = `
      import { startBackend } from ${JSON.stringify(backend)}
      console.log((await startBackend('wasm')).description)`
    const { stdout, status } = spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      ...{ env: { ...process.env, LTX_A2A_THREADS: '2' }, timeout: 60_000 },
    })
    expect([String(stdout).trim(), status]).toEqual(['WebAssembly, 2 threads', 0])
  })
})
