/** How much memory the current backend can use for tensors, and where that memory is. */
import { readMemory } from '../machine/hardware.ts'
import { type Card, cardText } from '../machine/nvidia.ts'
import { type BackendName, currentBackend } from './backend.ts'
import { cardInUse } from './graphics-card.ts'
import { wasmMemoryBytes } from './wasm.ts'

/** Where the backend keeps its tensors. */
export type MemoryPlace = 'this machine' | 'the wasm backend' | 'the graphics card'

export type BackendMemory = {
  place: MemoryPlace
  /** The most that tensors can take, in bytes. It depends on the machine alone. */
  memory: number
  /** How much of it other programs leave: on a graphics card, when TensorFlow was loaded, because it never uses more than that; elsewhere, now. */
  freeMemory: number
  /** As in `GPU 0, NVIDIA GeForce RTX 4090`, with all of its memory in bytes. */
  card?: { name: string; totalBytes: number }
}

/** @param card the graphics card that the backend computes on. One without memory of its own uses that of the machine. */
export function backendMemory(backend: BackendName = currentBackend(), card = cardInUse()): BackendMemory {
  const { totalBytes, freeBytes } = readMemory()
  if (backend === 'wasm' && wasmMemoryBytes < totalBytes)
    return { place: 'the wasm backend', memory: wasmMemoryBytes, freeMemory: Math.min(freeBytes, wasmMemoryBytes) }
  if (backend === 'tensorflow' && card?.totalBytes !== undefined) return memoryOf(card, card.totalBytes)
  return { place: 'this machine', memory: totalBytes, freeMemory: freeBytes }
}

function memoryOf(card: Card, totalBytes: number): BackendMemory {
  const reserved = contextBytes + libraryBytes(card)
  const usable = (bytes: number) => Math.max(0, bytes - reserved)
  return {
    place: 'the graphics card',
    memory: usable(totalBytes),
    freeMemory: usable(card.freeBytes ?? totalBytes),
    card: { name: cardText(card), totalBytes },
  }
}

/** What CUDA takes when it starts on a card, about. */
const contextBytes = 400 * 2 ** 20

/** What TensorFlow leaves to CUDA's libraries, by the major number of the compute capability (`MinSystemMemory` in gpu_device.cc). */
function libraryBytes({ computeCapability = '9.0' }: Card): number {
  const major = Number.parseInt(computeCapability, 10)
  const mebibytes = major <= 6 ? 500 : major === 7 ? 1050 : major === 8 ? 1536 : 1800
  return mebibytes * 2 ** 20
}
