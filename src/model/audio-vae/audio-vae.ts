/**
 * The audio autoencoder (spec §3): a log-mel becomes latents a quarter as long, and latents become a log-mel again. Outside this folder mels are
 * `[B, 2, M, 64]` and latents `[B, 8, T, 16]`, as files and the reference have them; inside everything is channels-last, `[B, time, bins, C]`,
 * the one layout in which TensorFlow.js convolves.
 */
import * as tf from '@tensorflow/tfjs'
import type { Weights } from '../../checkpoint/weights.ts'
import type { AudioVaeConfig } from '../config.ts'
import { type Decoder, decode, loadDecoder } from './decoder.ts'
import { type Encoder, encode, loadEncoder } from './encoder.ts'
import { denormalise, type LatentStatistics, loadStatistics, normalise } from './statistics.ts'

export type AudioVae = { encoder?: Encoder; decoder?: Decoder; statistics: LatentStatistics }

/** Training needs only the encoder; a preview without a reference clip needs only the decoder. */
export type AudioVaeHalves = { encoder?: boolean; decoder?: boolean }

/**
 * @param weights the component's: `weightsOf(file, 'audio_vae.')`.
 * @throws UserError when a tensor is missing or its shape is not the config's.
 */
export function loadAudioVae(
  weights: Weights,
  config: AudioVaeConfig,
  { encoder = true, decoder = true }: AudioVaeHalves = {},
): AudioVae {
  const sizes = config.model.params.ddconfig
  return {
    ...(encoder && { encoder: loadEncoder(weights.at('encoder'), sizes) }),
    ...(decoder && { decoder: loadDecoder(weights.at('decoder'), sizes) }),
    statistics: loadStatistics(weights.at('per_channel_statistics'), sizes),
  }
}

/** The normalised latents of a log-mel, without sampling: `[B, 2, M, 64] → [B, 8, T, 16]`, T = ceil(M / 4). */
export function encodeMel({ encoder, statistics }: AudioVae, mel: tf.Tensor4D): tf.Tensor4D {
  if (!encoder) throw new Error('this audio VAE was loaded without its encoder')
  return tf.tidy(() => channelsFirst(normalise(statistics, encode(encoder, channelsLast(mel)))))
}

/** The log-mel of normalised latents: `[B, 8, T, 16] → [B, 2, 4T − 3, 64]`. */
export function decodeLatents({ decoder, statistics }: AudioVae, latents: tf.Tensor4D): tf.Tensor4D {
  if (!decoder) throw new Error('this audio VAE was loaded without its decoder')
  return tf.tidy(() => channelsFirst(decode(decoder, denormalise(statistics, channelsLast(latents)))))
}

export const disposeAudioVae = (vae: AudioVae) => tf.dispose(vae)

const channelsLast = (x: tf.Tensor4D): tf.Tensor4D => tf.transpose(x, [0, 2, 3, 1])
const channelsFirst = (x: tf.Tensor4D): tf.Tensor4D => tf.transpose(x, [0, 3, 1, 2])
