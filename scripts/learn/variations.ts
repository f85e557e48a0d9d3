/** Every sound of the library and three changes of each, with the captions that name them: on disk, a shelf at a time. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Waveform } from '../../src/audio/waveform.ts'
import { openSafetensors, writeSafetensors } from '../../src/formats/safetensors.ts'
import { type Random, randomFor } from '../../src/platform/random.ts'
import { float32Tensor } from '../base/tensors.ts'
import { type Change, drawChange } from './changes.ts'
import { modelRate } from './corpus.ts'
import { readLibrary } from './library.ts'

const seed = 17
const changesEach = 3
const shelfSize = 100

/** A sound before and after a change. */
export type Variation = { caption: string; before: Waveform; after: Waveform }

/** Makes the shelves that are not there yet. */
export function makeVariations(folder: string, onShelf: (path: string) => void) {
  const sounds = readLibrary(folder)
  for (let shelf = 0; shelf * shelfSize < sounds.length; shelf++) {
    const path = shelfPath(folder, shelf)
    if (existsSync(path)) continue
    const changed = sounds.slice(shelf * shelfSize, (shelf + 1) * shelfSize).flatMap((sound, i) =>
      Array.from({ length: changesEach }, (_, v) => {
        const random = randomFor(seed, 'change', shelf * shelfSize + i, v)
        const change = drawChange(random)
        return { caption: change.caption, after: changedWaveform(sound, change, random), at: `${i}/${v}` }
      }),
    )
    const tensors = changed.flatMap(({ after, at }) =>
      after.channels.map((samples, c) => [`${at}/${c}`, float32Tensor(samples)] as const),
    )
    writeSafetensors(path, new Map(tensors), Object.fromEntries(changed.map(({ at, caption }) => [at, caption])))
    onShelf(path)
  }
}

/** As many as there are so far, `changesEach` of one sound after the other. */
export function readVariations(folder: string): Variation[] {
  return readLibrary(folder).flatMap((before, number) => {
    const [shelf, i] = [Math.floor(number / shelfSize), number % shelfSize]
    if (!existsSync(shelfPath(folder, shelf))) return []
    const file = openSafetensors(shelfPath(folder, shelf))
    const variations = Array.from({ length: changesEach }, (_, v) => ({
      caption: file.metadata[`${i}/${v}`] ?? '',
      before,
      after: { sampleRate: modelRate, channels: [file.float32(`${i}/${v}/0`), file.float32(`${i}/${v}/1`)] },
    }))
    file.close()
    return variations
  })
}

/** Within ±1, as a recording is. */
export function changedWaveform({ sampleRate, channels }: Waveform, { apply }: Change, random: Random): Waveform {
  const changed = channels.map((samples) => apply(Float64Array.from(samples), random))
  return {
    sampleRate,
    channels: changed.map((samples) => Float32Array.from(samples, (x) => Math.min(1, Math.max(-1, x)))),
  }
}

const shelfPath = (folder: string, shelf: number) =>
  join(folder, `changes-${String(shelf).padStart(2, '0')}.safetensors`)
