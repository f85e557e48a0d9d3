/** The log-mels of all sounds and of what they were changed into, on disk. Sound by sound: as it was, then its changes. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import * as tf from '@tensorflow/tfjs'
import { openSafetensors, writeSafetensors } from '../../src/formats/safetensors.ts'
import { float32Tensor } from '../base/tensors.ts'
import type { Mels } from './autoencoder.ts'
import { melOf } from './spectra.ts'
import { readVariations } from './variations.ts'

export type Entry = { sound: number; caption?: string }

/** @returns the mels and what each of them is. */
export function mels(folder: string): Mels & { entries: Entry[] } {
  const path = join(folder, 'mels.safetensors')
  if (!existsSync(path)) makeMels(folder, path)
  const file = openSafetensors(path)
  const [count, , frames] = file.read('mels').shape as [number, number, number]
  const made = { count, frames, values: file.float32('mels'), entries: JSON.parse(file.metadata.entries as string) }
  file.close()
  return made
}

function makeMels(folder: string, path: string) {
  const melOfAll = melOf()
  const entries: Entry[] = []
  const pieces: Float32Array[] = []
  let shape: number[] = []
  const add = (channels: Float32Array[], entry: Entry) => {
    const mel = tf.tidy(() => melOfAll(tf.stack(channels.map((samples) => tf.tensor1d(samples))) as tf.Tensor2D))
    shape = mel.shape
    pieces.push(mel.dataSync<'float32'>())
    mel.dispose()
    entries.push(entry)
  }
  let [sound, last] = [-1, undefined as unknown]
  for (const { caption, before, after } of readVariations(folder)) {
    if (before !== last) add(before.channels, { sound: ++sound })
    add(after.channels, { sound, caption })
    last = before
  }
  const values = new Float32Array(pieces.length * (pieces[0]?.length ?? 0))
  for (const [i, piece] of pieces.entries()) values.set(piece, i * piece.length)
  writeSafetensors(path, new Map([['mels', float32Tensor(values, [pieces.length, ...shape])]]), {
    entries: JSON.stringify(entries),
  })
}
