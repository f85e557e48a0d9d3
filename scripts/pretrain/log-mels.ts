/** The log-mels of all clips and of their effects, on disk: each clip without effects first, then with its effects. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { logMel, type Mel } from '../../src/audio/mel.ts'
import type { Waveform } from '../../src/audio/waveform.ts'
import { openSafetensors, writeSafetensors } from '../../src/formats/safetensors.ts'
import { float32Tensor } from '../base/tensors.ts'
import type { LogMels } from './audio-vae.ts'
import { modelSampleRate } from './clips.ts'
import { readEffectPairs } from './effect-pairs.ts'

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
  const entries: LogMelEntry[] = []
  const mels: Mel[] = []
  const add = (sound: Waveform, entry: LogMelEntry) => {
    mels.push(logMel(sound, { sampleRate: modelSampleRate, nFft: 1024, hop: 160, melBins: 64 }))
    entries.push(entry)
  }
  let [sound, previous] = [-1, undefined as unknown]
  for (const { caption, dry, wet } of readEffectPairs(folder)) {
    if (dry !== previous) add(dry, { sound: ++sound })
    add(wet, { sound, caption })
    previous = dry
  }
  const [{ channels, frames, melBins }] = mels as [Mel]
  const size = channels * frames * melBins
  const values = new Float32Array(mels.length * size)
  for (const [i, { data }] of mels.entries()) values.set(data, i * size)
  const shape = [mels.length, channels, frames, melBins]
  writeSafetensors(path, new Map([['mels', float32Tensor(values, shape)]]), { entries: JSON.stringify(entries) })
}
