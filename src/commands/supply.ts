/** What the machine has for a run. */
import { freeBytesAt, parseVideoMemory, readMemory, type VideoMemory } from '../doctor/machine.ts'
import { defaultCacheFolder } from '../encode/cache.ts'
import { currentBackend, nativeFacts } from '../engine/backend.ts'
import { ProgramError, runProgram } from '../setup/programs.ts'

/** `memory` is what the backend can ever have, `freeMemory` what nothing else uses now. In bytes. */
export type Supply = { place: Place; memory: number; freeMemory: number; runDisk: number; cacheDisk: number }

/** Where tensors lie. */
export type Place = 'this machine' | 'the wasm backend' | 'the graphics card'

/** WebAssembly addresses no more. */
const wasmMemory = 2 ** 32

/** @param folder where the run's files go. */
export async function readSupply(folder: string): Promise<Supply> {
  const disks = { runDisk: freeBytesAt(folder), cacheDisk: freeBytesAt(defaultCacheFolder()) }
  return { ...(await readTensorMemory()), ...disks }
}

async function readTensorMemory(): Promise<Pick<Supply, 'place' | 'memory' | 'freeMemory'>> {
  const { totalBytes, freeBytes } = readMemory()
  if (currentBackend() === 'tensorflow' && nativeFacts().device === 'GPU') {
    const card = await readVideoMemory()
    if (card) return { place: 'the graphics card', memory: card.totalBytes, freeMemory: card.freeBytes }
  }
  if (currentBackend() === 'wasm' && wasmMemory < totalBytes)
    return { place: 'the wasm backend', memory: wasmMemory, freeMemory: Math.min(freeBytes, wasmMemory) }
  return { place: 'this machine', memory: totalBytes, freeMemory: freeBytes }
}

/** Of the first card; undefined where its driver tells nothing. */
export async function readVideoMemory(): Promise<VideoMemory | undefined> {
  try {
    const query = ['--query-gpu=memory.total,memory.free', '--format=csv,noheader,nounits']
    return parseVideoMemory(await runProgram('nvidia-smi', query))
  } catch (error) {
    if (error instanceof ProgramError) return undefined
    throw error
  }
}
