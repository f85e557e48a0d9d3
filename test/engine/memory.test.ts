import { totalmem } from 'node:os'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { backendMemory } from '../../src/engine/memory.ts'
import { parseCards } from '../../src/machine/nvidia.ts'

afterEach(() => void vi.restoreAllMocks())

/** The memory of native TensorFlow on a card with so many MiB. */
const onCard = (total: string, free: string, capability = '8.6') =>
  backendMemory('tensorflow', parseCards(`1, GPU-1, 550.1, ${total}, ${free}, ${capability}, [N/A], A card`)[0])

describe('the memory of a backend', () => {
  it('is that of the machine, or the limit of the process if that is smaller', () => {
    vi.spyOn(process, 'constrainedMemory').mockReturnValue(8e9)
    expect(backendMemory('tensorflow', undefined)).toMatchObject({
      place: 'this machine',
      memory: Math.min(8e9, totalmem()),
    })
    for (const unlimited of [0, 2 ** 63]) {
      vi.spyOn(process, 'constrainedMemory').mockReturnValue(unlimited)
      expect(backendMemory('cpu', undefined)).toMatchObject({ place: 'this machine', memory: totalmem() })
    }
  })

  it('is at most the 4 GB that WebAssembly can address', () => {
    vi.spyOn(process, 'constrainedMemory').mockReturnValue(2e9)
    expect(backendMemory('wasm')).toMatchObject({ place: 'this machine', memory: 2e9 })
    vi.restoreAllMocks()
    if (totalmem() > 2 ** 32)
      expect(backendMemory('wasm')).toMatchObject({ place: 'the wasm backend', memory: 2 ** 32 })
  })

  it('is that of the graphics card, without what CUDA and its libraries need', () => {
    const mebibytes = (count: number) => count * 2 ** 20
    expect(onCard('24564', '24010')).toEqual({
      place: 'the graphics card',
      memory: mebibytes(24_564 - 400 - 1536),
      freeMemory: mebibytes(24_010 - 400 - 1536),
      card: { name: 'GPU 1, A card', totalBytes: mebibytes(24_564) },
    })
    expect(onCard('8192', '1000')).toMatchObject({ memory: mebibytes(8192 - 1936), freeMemory: 0 })
    const ofCapability = (capability: string) => onCard('8192', '8000', capability).memory
    expect(['6.1', '7.5', '9.0', '10.0'].map(ofCapability)).toEqual([7292, 6742, 5992, 5992].map(mebibytes))
  })

  it('is that of the machine for a card that shares it, or whose memory is not known', () => {
    expect(onCard('[N/A]', '[N/A]')).toMatchObject({ place: 'this machine' })
    expect(onCard('[N/A]', '[N/A]')).not.toHaveProperty('card')
  })

  it('is not that of a card for the other backends', () => {
    const [card] = parseCards('0, GPU-1, 550.1, 8192, 8000, 8.6, [N/A], A card')
    for (const backend of ['wasm', 'cpu'] as const) expect(backendMemory(backend, card)).not.toHaveProperty('card')
  })
})
