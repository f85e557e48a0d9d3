/** The log-mels of all clips and of their effects, on disk: each clip without effects first, then with its effects. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import * as tf from '@tensorflow/tfjs'
import { openSafetensors, writeSafetensors } from '../../src/formats/safetensors.ts'
import { float32Tensor } from '../base/tensors.ts'
import type { LogMels } from './audio-vae.ts'
import { readEffectPairs } from './effect-pairs.ts'
import { createLogMel } from './spectrograms.ts'

/** The clip of a log-mel. `caption` is that of the effect; it is absent for the clip without effects. */
export type LogMelEntry = { sound: number; caption?: string }

export type LogMelCorpus = LogMels & { entries: LogMelEntry[] }

/** Reads the log-mels, and computes them the first time. */
export function readLogMels(folder: string): LogMelCorpus {
  const path = join(folder, 'mels.safetensors')
  if (!existsSync(path)) writeLogMels(folder, path)
  const file = openSafetensors(path)
  const [count, , frames] = file.read('mels').shape as [number, number, number]
  const logMels = { count, frames, values: file.float32('mels'), entries: JSON.parse(file.metadata.entries as string) }
  file.close()
  return logMels
}

function writeLogMels(folder: string, path: string) {
  const logMel = createLogMel()
  const entries: LogMelEntry[] = []
  const mels: Float32Array[] = []
  let shape: number[] = []
  const add = (channels: Float32Array[], entry: LogMelEntry) => {
    const mel = tf.tidy(() => logMel(tf.stack(channels.map((samples) => tf.tensor1d(samples))) as tf.Tensor2D))
    shape = mel.shape
    mels.push(mel.dataSync<'float32'>())
    mel.dispose()
    entries.push(entry)
  }
  let [sound, previous] = [-1, undefined as unknown]
  for (const { caption, dry, wet } of readEffectPairs(folder)) {
    if (dry !== previous) add(dry.channels, { sound: ++sound })
    add(wet.channels, { sound, caption })
    previous = dry
  }
  const values = new Float32Array(mels.length * (mels[0]?.length ?? 0))
  for (const [i, mel] of mels.entries()) values.set(mel, i * mel.length)
  writeSafetensors(path, new Map([['mels', float32Tensor(values, [mels.length, ...shape])]]), {
    entries: JSON.stringify(entries),
  })
}
