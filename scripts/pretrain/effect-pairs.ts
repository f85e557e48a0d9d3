/** Every clip of the corpus with three effects each, and the captions of the effects: on disk, in shards. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Waveform } from '../../src/audio/waveform.ts'
import { openSafetensors, writeSafetensors } from '../../src/formats/safetensors.ts'
import { type Random, randomFor } from '../../src/platform/random.ts'
import { float32Tensor } from '../base/tensors.ts'
import { modelSampleRate } from './clips.ts'
import { readCorpus, shardSize } from './corpus.ts'
import { type Effect, sampleEffect } from './effects.ts'

const seed = 17
const effectsPerClip = 4

/** A clip without and with an effect. */
export type EffectPair = { caption: string; dry: Waveform; wet: Waveform }

/** Writes the shards that do not exist yet. */
export function writeEffectPairs(folder: string, onShard: (path: string) => void) {
  const clips = readCorpus(folder)
  for (let shard = 0; shard * shardSize < clips.length; shard++) {
    const path = shardPath(folder, shard)
    if (existsSync(path)) continue
    const processed = clips.slice(shard * shardSize, (shard + 1) * shardSize).flatMap((clip, i) =>
      Array.from({ length: effectsPerClip }, (_, v) => {
        const random = randomFor(seed, 'change', shard * shardSize + i, v)
        const effect = sampleEffect(random)
        return { name: `${i}/${v}`, caption: effect.caption, wet: applyEffect(clip, effect, random) }
      }),
    )
    const tensors = processed.flatMap(({ name, wet }) =>
      wet.channels.map((samples, c) => [`${name}/${c}`, float32Tensor(samples)] as const),
    )
    const captions = Object.fromEntries(processed.map(({ name, caption }) => [name, caption]))
    writeSafetensors(path, new Map(tensors), captions)
    onShard(path)
  }
}

/** All pairs that have been written, the effects of one clip after those of the other. */
export function readEffectPairs(folder: string): EffectPair[] {
  return readCorpus(folder).flatMap((dry, number) => {
    const [shard, i] = [Math.floor(number / shardSize), number % shardSize]
    if (!existsSync(shardPath(folder, shard))) return []
    const file = openSafetensors(shardPath(folder, shard))
    const pairs = Array.from({ length: effectsPerClip }, (_, v) => ({
      caption: file.metadata[`${i}/${v}`] ?? '',
      dry,
      wet: { sampleRate: modelSampleRate, channels: [file.float32(`${i}/${v}/0`), file.float32(`${i}/${v}/1`)] },
    }))
    file.close()
    return pairs
  })
}

/** Clipped to [−1, 1]. */
function applyEffect({ sampleRate, channels }: Waveform, { apply }: Effect, random: Random): Waveform {
  const processed = channels.map((samples) => apply(Float64Array.from(samples), random))
  return {
    sampleRate,
    channels: processed.map((samples) => Float32Array.from(samples, (x) => Math.min(1, Math.max(-1, x)))),
  }
}

const shardPath = (folder: string, shard: number) =>
  join(folder, `changes-${String(shard).padStart(2, '0')}.safetensors`)
