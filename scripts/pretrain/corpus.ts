/** The corpus on disk, in shards of a hundred clips, so that an interrupted run continues with the next shard. */
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Waveform } from '../../src/audio/waveform.ts'
import { openSafetensors, writeSafetensors } from '../../src/formats/safetensors.ts'
import { float32Tensor } from '../base/tensors.ts'
import { modelSampleRate, synthesizeClip } from './clips.ts'

export const shardSize = 100
const seed = 7

/** Writes the shards that do not exist yet. @param count the number of clips, a multiple of `shardSize`. */
export function writeCorpus(folder: string, count: number, onShard: (path: string) => void) {
  mkdirSync(folder, { recursive: true })
  for (let shard = 0; shard * shardSize < count; shard++) {
    const path = shardPath(folder, shard)
    if (existsSync(path)) continue
    const clips = Array.from({ length: shardSize }, (_, i) => synthesizeClip(seed, shard * shardSize + i))
    const tensors = clips.flatMap(({ channels }, i) =>
      channels.map((samples, c) => [`${i}/${c}`, float32Tensor(samples)] as const),
    )
    writeSafetensors(path, new Map(tensors), { sampleRate: String(modelSampleRate) })
    onShard(path)
  }
}

/** All clips that have been written. */
export function readCorpus(folder: string): Waveform[] {
  const clips: Waveform[] = []
  for (let shard = 0; existsSync(shardPath(folder, shard)); shard++) {
    const file = openSafetensors(shardPath(folder, shard))
    for (let i = 0; i < shardSize; i++)
      clips.push({ sampleRate: modelSampleRate, channels: [file.float32(`${i}/0`), file.float32(`${i}/1`)] })
    file.close()
  }
  return clips
}

const shardPath = (folder: string, shard: number) =>
  join(folder, `sounds-${String(shard).padStart(2, '0')}.safetensors`)
