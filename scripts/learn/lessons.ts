/** All lessons of the corpus: latents of the learned audio VAE, contexts of the captions. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import * as tf from '@tensorflow/tfjs'
import { fromBatch, type HostMatrix } from '../../src/engine/device-tensors.ts'
import { openSafetensors, writeSafetensors } from '../../src/formats/safetensors.ts'
import { type AudioVae, encodeMel, loadAudioVae } from '../../src/model/audio-vae/audio-vae.ts'
import { patchify } from '../../src/model/audio-vae/latents.ts'
import { ltxComponents } from '../../src/model/checkpoint-layout.ts'
import { readModelConfig } from '../../src/model/config.ts'
import { encodeCaptions } from '../../src/model/text/text-model.ts'
import { contextLength } from '../../src/model/text/tokenizer.ts'
import { asCheckpoint, float32Tensor, replaceValues, type Tensors } from '../base/tensors.ts'
import type { Mels } from './autoencoder.ts'
import { captionFor } from './captions.ts'
import type { Entry } from './mels.ts'
import type { Lesson } from './stream.ts'
import { baseMetadata } from './unfinished.ts'

type Heard = Mels & { entries: Entry[] }

/** Makes the latents of all sounds have mean 0 and deviation 1 in every channel and bin. */
export function measureLatents(base: Tensors, heard: Heard) {
  const vae = loadVae(base)
  const [mean, square] = [new Float64Array(128), new Float64Array(128)]
  const all = every(heard, 4, (mel) => encodeMel(vae, mel))
  let rows = 0
  for (const { values, shape } of all) {
    rows += shape[0]
    values.forEach((x, i) => {
      mean[i % 128] = (mean[i % 128] as number) + x
      square[i % 128] = (square[i % 128] as number) + x * x
    })
  }
  const means = Float32Array.from(mean, (sum) => sum / rows)
  const deviations = Float32Array.from(square, (sum, i) => Math.sqrt(sum / rows - (means[i] as number) ** 2))
  replaceValues(base, 'audio_vae.per_channel_statistics.mean-of-means', means)
  replaceValues(base, 'audio_vae.per_channel_statistics.std-of-means', deviations)
}

/**
 * @param work where latents and contexts are kept, for they take minutes.
 * @param textEncoder the folder of the base's text encoder.
 */
export async function lessons(base: Tensors, heard: Heard, work: string, textEncoder: string): Promise<Lesson[]> {
  const vae = loadVae(base)
  const patches = await keptMatrices(join(work, 'latents.safetensors'), async () =>
    every(heard, 1, (mel) => encodeMel(vae, mel)).map((matrix, i): [string, HostMatrix] => [String(i), matrix]),
  )
  const pairs: { before: HostMatrix; after: HostMatrix; caption: string }[] = []
  let before = patches.get('0') as HostMatrix
  heard.entries.forEach(({ caption }, i) => {
    const latents = patches.get(String(i)) as HostMatrix
    if (caption === undefined) before = latents
    else pairs.push({ before, after: latents, caption: captionFor(caption, i) })
  })
  const captions = [...new Set(pairs.map(({ caption }) => caption))]
  console.log(`${pairs.length} lessons, ${captions.length} captions`)
  const contexts = await keptMatrices(join(work, 'contexts.safetensors'), async () => {
    const checkpoint = asCheckpoint(base, baseMetadata)
    const config = readModelConfig(checkpoint)
    const width = config.transformer.audio_cross_attention_dim
    const encoded = await encodeCaptions({ checkpoint, config, textEncoder }, captions)
    return encoded.map((values, i) => [`"${captions[i]}"`, { shape: [contextLength, width], values }])
  })
  return pairs.map(({ before, after, caption }) => ({
    before,
    after,
    context: contexts.get(`"${caption}"`) as HostMatrix,
  }))
}

/** From the file, or made and written into it. */
async function keptMatrices(path: string, make: () => Promise<[string, HostMatrix][]>) {
  if (!existsSync(path)) {
    const made = await make()
    const tensors = made.map(([name, { shape, values }]) => [name, float32Tensor(values, shape)] as const)
    writeSafetensors(path, new Map(tensors), {})
  }
  const file = openSafetensors(path)
  const read = new Map<string, HostMatrix>()
  for (const [name, { shape }] of file.tensors)
    read.set(name, { shape: shape as [number, number], values: file.float32(name) })
  file.close()
  return read
}

/** Patches of every so-manieth mel. */
function every(heard: Mels, step: number, encode: (mel: tf.Tensor4D) => tf.Tensor4D): HostMatrix[] {
  const { count, frames, values } = heard
  const size = 2 * frames * 64
  return Array.from({ length: Math.ceil(count / step) }, (_, i) => {
    const mel = values.subarray(i * step * size, (i * step + 1) * size)
    return fromBatch(tf.tidy(() => patchify(encode(tf.tensor4d(mel, [1, 2, frames, 64])))))
  })
}

function loadVae(base: Tensors): AudioVae {
  const checkpoint = asCheckpoint(base, baseMetadata)
  const { audio_vae: config } = readModelConfig(checkpoint)
  const vae = loadAudioVae(ltxComponents(checkpoint).audioVae, config, { decoder: false })
  return vae
}
