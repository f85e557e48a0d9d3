/** The memory of this process after a full garbage collection. */
import { setTimeout } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import * as tf from '@tensorflow/tfjs'
import { collectGarbage } from '../../src/engine/capture.ts'

/** In MiB, except `tensors`, which is a count. */
export type Memory = {
  tensors: number
  /** The resident set size before the garbage collection. */
  rssBefore: number
  /** The resident set size after the garbage collection. */
  rss: number
  /** The used heap of V8. */
  heap: number
  /** Memory of objects outside of V8's heap: WebAssembly memory and array buffers. */
  external: number
  /** The part of `external` in array buffers. */
  arrayBuffers: number
  /** The memory of the wasm backend, which never shrinks. */
  wasm: number
}

/**
 * V8 keeps partly used pages of old objects. They are not a leak, but the RSS varies by tens of MiB as V8 unmaps pages and maps them again.
 * A compacting collection keeps only the pages that are needed. Other threads unmap the pages and free array buffers, so this waits and collects twice.
 */
export async function memoryAfterGc(): Promise<Memory> {
  const rssBefore = process.memoryUsage.rss()
  setFlagsFromString('--compact-on-every-full-gc')
  for (let times = 0; times < 2; times++) {
    collectGarbage()
    await setTimeout(50)
  }
  setFlagsFromString('--no-compact-on-every-full-gc')
  const { rss, heapUsed: heap, external, arrayBuffers } = process.memoryUsage()
  const bytes = { rssBefore, rss, heap, external, arrayBuffers, wasm: wasmBytes() }
  const mib = Object.fromEntries(Object.entries(bytes).map(([name, count]) => [name, count / 2 ** 20]))
  return { tensors: tf.memory().numTensors, ...mib } as Memory
}

function wasmBytes(): number {
  const { wasm } = tf.backend() as unknown as { wasm?: { HEAPU8: Uint8Array } }
  return wasm?.HEAPU8.buffer.byteLength ?? 0
}
