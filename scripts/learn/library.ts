/** The corpus on disk: a hundred sounds a file, so that making it can be broken off and taken up again. */
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Waveform } from '../../src/audio/waveform.ts'
import { openSafetensors, writeSafetensors } from '../../src/formats/safetensors.ts'
import { float32Tensor } from '../base/tensors.ts'
import { modelRate, performance } from './corpus.ts'

const shelfSize = 100
const seed = 7

/** Makes the shelves that are not there yet. @param count in sounds, a multiple of a hundred. */
export function makeLibrary(folder: string, count: number, onShelf: (path: string) => void) {
  mkdirSync(folder, { recursive: true })
  for (let shelf = 0; shelf * shelfSize < count; shelf++) {
    const path = shelfPath(folder, shelf)
    if (existsSync(path)) continue
    const sounds = Array.from({ length: shelfSize }, (_, i) => performance(seed, shelf * shelfSize + i))
    const entries = sounds.flatMap(({ channels }, i) =>
      channels.map((samples, c) => [`${i}/${c}`, float32Tensor(samples)] as const),
    )
    writeSafetensors(path, new Map(entries), { sampleRate: String(modelRate) })
    onShelf(path)
  }
}

/** Every sound there is so far. */
export function readLibrary(folder: string): Waveform[] {
  const sounds: Waveform[] = []
  for (let shelf = 0; existsSync(shelfPath(folder, shelf)); shelf++) {
    const file = openSafetensors(shelfPath(folder, shelf))
    for (let i = 0; i < shelfSize; i++)
      sounds.push({ sampleRate: modelRate, channels: [file.float32(`${i}/0`), file.float32(`${i}/1`)] })
    file.close()
  }
  return sounds
}

const shelfPath = (folder: string, shelf: number) =>
  join(folder, `sounds-${String(shelf).padStart(2, '0')}.safetensors`)
