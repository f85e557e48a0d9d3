/** The training pairs of the transformer: latents from the trained audio VAE, and contexts of the captions. */
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
import type { LogMels } from './audio-vae.ts'
import { captionFor } from './captions.ts'
import type { LogMelCorpus } from './log-mels.ts'
import { baseMetadata } from './stage-checkpoints.ts'
import type { TrainingPair } from './transformer.ts'

/** Sets the statistics so that normalized latents have mean 0 and standard deviation 1 in every channel and bin. A quarter of the log-mels is used. */
export async function fitLatentStatistics(base: Tensors, corpus: LogMelCorpus) {
  const vae = loadVae(base)
  const [mean, square] = [new Float64Array(128), new Float64Array(128)]
  const latents = await encodeMels(corpus, 4, (mel) => encodeMel(vae, mel))
  let rows = 0
  for (const { values, shape } of latents) {
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
 * @param work the folder in which latents and contexts are cached, because computing them takes minutes.
 * @param textEncoder the folder of the base's text encoder.
 */
export async function trainingPairs(
  base: Tensors,
  corpus: LogMelCorpus,
  work: string,
  textEncoder: string,
): Promise<TrainingPair[]> {
  const vae = loadVae(base)
  const patches = await cachedMatrices(join(work, 'latents.safetensors'), async () =>
    (await encodeMels(corpus, 1, (mel) => encodeMel(vae, mel))).map((matrix, i): [string, HostMatrix] => [
      String(i),
      matrix,
    ]),
  )
  const pairs: { reference: HostMatrix; target: HostMatrix; caption: string }[] = []
  let reference = patches.get('0') as HostMatrix
  corpus.entries.forEach(({ caption }, i) => {
    const latents = patches.get(String(i)) as HostMatrix
    if (caption === undefined) reference = latents
    else pairs.push({ reference, target: latents, caption: captionFor(caption, i) })
  })
  const captions = [...new Set(pairs.map(({ caption }) => caption))]
  console.log(`${pairs.length} training pairs, ${captions.length} captions`)
  const contexts = await cachedMatrices(join(work, 'contexts.safetensors'), async () => {
    const checkpoint = asCheckpoint(base, baseMetadata)
    const config = readModelConfig(checkpoint)
    const width = config.transformer.audio_cross_attention_dim
    const encoded = await encodeCaptions({ checkpoint, config, textEncoder }, captions)
    return encoded.map((values, i) => [`"${captions[i]}"`, { shape: [contextLength, width], values }])
  })
  return pairs.map(({ reference, target, caption }) => ({
    reference,
    target,
    context: contexts.get(`"${caption}"`) as HostMatrix,
  }))
}

/** Reads the matrices from the file, or computes and writes them. */
async function cachedMatrices(path: string, compute: () => Promise<[string, HostMatrix][]>) {
  if (!existsSync(path)) {
    const computed = await compute()
    const tensors = computed.map(([name, { shape, values }]) => [name, float32Tensor(values, shape)] as const)
    writeSafetensors(path, new Map(tensors), {})
  }
  const file = openSafetensors(path)
  const matrices = new Map<string, HostMatrix>()
  for (const [name, { shape }] of file.tensors)
    matrices.set(name, { shape: shape as [number, number], values: file.float32(name) })
  file.close()
  return matrices
}

/** The patches of every `step`-th log-mel. */
function encodeMels(logMels: LogMels, step: number, encode: (mel: tf.Tensor4D) => tf.Tensor4D): Promise<HostMatrix[]> {
  const { count, frames, values } = logMels
  const size = 2 * frames * 64
  const patches = Array.from({ length: Math.ceil(count / step) }, (_, i) => {
    const mel = values.subarray(i * step * size, (i * step + 1) * size)
    return fromBatch(tf.tidy(() => patchify(encode(tf.tensor4d(mel, [1, 2, frames, 64])))))
  })
  return Promise.all(patches)
}

function loadVae(base: Tensors): AudioVae {
  const checkpoint = asCheckpoint(base, baseMetadata)
  const { audio_vae: config } = readModelConfig(checkpoint)
  return loadAudioVae(ltxComponents(checkpoint).audioVae, config, { decoder: false })
}
