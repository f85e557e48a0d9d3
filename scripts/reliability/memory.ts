/** What this process holds once everything that can be collected is. */
import { setTimeout } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import * as tf from '@tensorflow/tfjs'
import { collectGarbage } from '../../src/engine/capture.ts'

/** MiB, but the tensors, which are counted. */
export type Memory = {
  tensors: number
  /** The whole process as the system found it, with what V8 had not collected or not given back. */
  found: number
  /** The whole process after that. */
  resident: number
  /** JavaScript's objects. */
  heap: number
  /** What is kept outside of V8's heap for such objects: WebAssembly's memory, the bytes behind arrays. */
  external: number
  arrays: number
  /** TensorFlow.js's tensors on the wasm backend. This memory can only grow. */
  wasm: number
}

/**
 * V8 spreads what lives longer over many pages and keeps them: that is its reserve, no leak, and swings by tens of MiB as it gives pages back and
 * takes them again. A collection that compacts leaves the pages that are needed. Other threads unmap those pages and free the bytes behind arrays:
 * they need a moment, and what they have freed is gone with the next collection.
 */
export async function settledMemory(): Promise<Memory> {
  const found = process.memoryUsage.rss()
  setFlagsFromString('--compact-on-every-full-gc')
  for (let times = 0; times < 2; times++) {
    collectGarbage()
    await setTimeout(50)
  }
  setFlagsFromString('--no-compact-on-every-full-gc')
  const { rss: resident, heapUsed: heap, external, arrayBuffers: arrays } = process.memoryUsage()
  const bytes = { found, resident, heap, external, arrays, wasm: wasmBytes() }
  const mib = Object.fromEntries(Object.entries(bytes).map(([name, count]) => [name, count / 2 ** 20]))
  return { tensors: tf.memory().numTensors, ...mib } as Memory
}

function wasmBytes(): number {
  const { wasm } = tf.backend() as unknown as { wasm?: { HEAPU8: Uint8Array } }
  return wasm?.HEAPU8.buffer.byteLength ?? 0
}
