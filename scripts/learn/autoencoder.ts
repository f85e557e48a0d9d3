/** Teaches the audio VAE: log-mels through sixteen times fewer numbers and back, with some noise on the way so that near latents sound alike. */
import * as tf from '@tensorflow/tfjs'
import { type Decoder, decode, type Encoder, encode, loadAudioVae } from '../../src/model/audio-vae/audio-vae.ts'
import { randomFor } from '../../src/platform/random.ts'
import type { Loader } from './learnable.ts'

/** Log-mels `[2, M, 64]` of whole sounds. */
export type Mels = { count: number; frames: number; values: Float32Array }

export const loadHalves: Loader<{ encoder: Encoder; decoder: Decoder }> = ({ audioVae }, config) => {
  const { encoder, decoder } = loadAudioVae(audioVae, config.audio_vae)
  return { encoder: encoder as Encoder, decoder: decoder as Decoder }
}

export const isVaeWeight = (name: string) => /^audio_vae\.(en|de)coder/.test(name)

/** Sixteen latent frames decode to as many mel frames. */
const [latentFrames, cropFrames, bins] = [16, 61, 64]
const batch = 16
/** Of the noise on latents, whose own deviation the penalty keeps near 1. */
export const latentNoise = 0.05

export type VaeInputs = { mel: tf.Tensor4D; noise: tf.Tensor4D }

/** Random pieces of random sounds, channels last. */
export function vaeInputs({ count, frames, values }: Mels, seed: number, step: number): VaeInputs {
  const random = randomFor(seed, 'autoencoder', step)
  const size = cropFrames * bins
  const crops = new Float32Array(batch * 2 * size)
  for (let b = 0; b < batch; b++) {
    const sound = Math.floor(random.uniform() * count)
    // now and then the very beginning, where the latents see silence before
    const start = random.uniform() < 0.15 ? 0 : Math.floor(random.uniform() * (frames - cropFrames))
    for (let channel = 0; channel < 2; channel++) {
      const from = ((sound * 2 + channel) * frames + start) * bins
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

/** Mean absolute error in nats, and a little of its square; `deviation` of latents is only watched. */
export function vaeLoss({ encoder, decoder }: { encoder: Encoder; decoder: Decoder }, { mel, noise }: VaeInputs) {
  const latents = encode(encoder, mel)
  const error = tf.sub(decode(decoder, tf.add(latents, noise)), mel)
  const absolute = tf.mean(tf.abs(error)) as tf.Scalar
  const squared = tf.mean(tf.square(error)) as tf.Scalar
  const size = tf.mean(tf.square(latents)) as tf.Scalar
  const loss = tf.addN([absolute, tf.mul(0.3, squared), tf.mul(0.001, size)]) as tf.Scalar
  return { loss, absolute, rms: tf.sqrt(squared) as tf.Scalar, deviation: tf.sqrt(size) as tf.Scalar }
}
