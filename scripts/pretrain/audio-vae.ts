/** Trains the audio VAE to reconstruct log-mels. Noise on the latents makes similar latents decode to similar sounds. */
import * as tf from '@tensorflow/tfjs'
import { type Decoder, decode, type Encoder, encode, loadAudioVae } from '../../src/model/audio-vae/audio-vae.ts'
import { randomFor } from '../../src/platform/random.ts'
import type { Loader } from './trainable.ts'

/** The log-mels `[2, M, 64]` of whole clips. */
export type LogMels = { count: number; frames: number; values: Float32Array }

export const loadEncoderAndDecoder: Loader<{ encoder: Encoder; decoder: Decoder }> = ({ audioVae }, config) => {
  const { encoder, decoder } = loadAudioVae(audioVae, config.audio_vae)
  return { encoder: encoder as Encoder, decoder: decoder as Decoder }
}

export const isVaeWeight = (name: string) => /^audio_vae\.(en|de)coder/.test(name)
export const isDecoderWeight = (name: string) => name.startsWith('audio_vae.decoder')

/** 16 latent frames decode to 61 mel frames. */
const [latentFrames, cropFrames, bins] = [16, 61, 64]
const batch = 16
/** The standard deviation of the noise on the latents. A small penalty keeps that of the latents near 1. */
export const latentNoise = 0.05

export type VaeBatch = { mel: tf.Tensor4D; noise: tf.Tensor4D }

/** Random crops of random clips, channels-last. */
export function vaeBatch({ count, frames, values }: LogMels, seed: number, step: number): VaeBatch {
  const random = randomFor(seed, 'autoencoder', step)
  const size = cropFrames * bins
  const crops = new Float32Array(batch * 2 * size)
  for (let b = 0; b < batch; b++) {
    const clip = Math.floor(random.uniform() * count)
    // 15 % are the beginning of a clip, which the encoder pads with zeros
    const start = random.uniform() < 0.15 ? 0 : Math.floor(random.uniform() * (frames - cropFrames))
    for (let channel = 0; channel < 2; channel++) {
      const from = ((clip * 2 + channel) * frames + start) * bins
      crops.set(values.subarray(from, from + size), (b * 2 + channel) * size)
    }
  }
  return {
    mel: tf.tidy(() => tf.transpose(tf.tensor4d(crops, [batch, 2, cropFrames, bins]), [0, 2, 3, 1])),
    noise: tf.randomNormal(
      [batch, latentFrames, 16, 8],
      0,
      latentNoise,
      'float32',
      Math.floor(random.uniform() * 2 ** 31),
    ),
  }
}

/** The mean absolute error in nats plus 0.3 times its mean square. `deviation`, the standard deviation of the latents, is reported only. */
export function vaeLoss({ encoder, decoder }: { encoder: Encoder; decoder: Decoder }, { mel, noise }: VaeBatch) {
  const latents = encode(encoder, mel)
  const error = tf.sub(decode(decoder, tf.add(latents, noise)), mel)
  const absolute = tf.mean(tf.abs(error)) as tf.Scalar
  const squared = tf.mean(tf.square(error)) as tf.Scalar
  const size = tf.mean(tf.square(latents)) as tf.Scalar
  const loss = tf.addN([absolute, tf.mul(0.3, squared), tf.mul(0.001, size)]) as tf.Scalar
  return { loss, absolute, rms: tf.sqrt(squared) as tf.Scalar, deviation: tf.sqrt(size) as tf.Scalar }
}
