import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, it } from 'vitest'
import { openSafetensors } from '../../../src/formats/safetensors.ts'
import { decodeLatents, disposeAudioVae, encodeMel, loadAudioVae } from '../../../src/model/audio-vae/audio-vae.ts'
import { readModelConfig } from '../../../src/model/config.ts'
import { weightsOf } from '../../../src/model/weights.ts'
import { goldenPath, startGoldenBackend } from '../../golden/golden.ts'

const checkpoint = openSafetensors(goldenPath('tiny-ltx-2.3.safetensors'))
const weights = weightsOf(checkpoint, 'audio_vae.')
const config = readModelConfig(checkpoint).audio_vae
const sizes = config.model.params.ddconfig
const level = (value: number, frames: number) =>
  tf.fill<tf.Rank.R4>([1, sizes.in_channels, frames, sizes.mel_bins], value)

describe('the audio VAE', () => {
  beforeAll(startGoldenBackend)

  it('encodes mels to latents and decodes them without leaking tensors', () => {
    const before = tf.memory().numTensors
    const vae = loadAudioVae(weights, config)
    const mel = level(-4, 13)
    const loaded = tf.memory().numTensors
    const latents = encodeMel(vae, mel)
    expect(latents.shape).toEqual([1, sizes.z_channels, 4, sizes.mel_bins / 4])
    const decoded = decodeLatents(vae, latents)
    expect(decoded.shape).toEqual([1, sizes.out_ch, 13, sizes.mel_bins])
    tf.dispose([latents, decoded])
    expect(tf.memory().numTensors).toBe(loaded)
    tf.dispose(mel)
    disposeAudioVae(vae)
    expect(tf.memory().numTensors).toBe(before)
  })

  it('has a causal encoder', () => {
    tf.tidy(() => {
      const vae = loadAudioVae(weights, config)
      const past = level(-4, 9)
      const [quiet, loud] = [-10, 1].map((future) => {
        const mel = tf.concat([past, level(future, 8)], 2)
        return tf.slice(encodeMel(vae, mel), [0, 0, 0, 0], [-1, -1, 3, -1]).dataSync()
      })
      expect(quiet).toEqual(loud)
      disposeAudioVae(vae)
    })
  })

  it('can be loaded with only its encoder or decoder', () => {
    const encoder = loadAudioVae(weights, config, { decoder: false })
    const decoder = loadAudioVae(weights, config, { encoder: false })
    tf.tidy(() => {
      const latents = encodeMel(encoder, level(-4, 5))
      expect(() => decodeLatents(encoder, latents)).toThrow('without its decoder')
      expect(() => encodeMel(decoder, level(-4, 5))).toThrow('without its encoder')
      expect(decodeLatents(decoder, latents).shape).toEqual([1, sizes.out_ch, 5, sizes.mel_bins])
    })
    disposeAudioVae(encoder)
    disposeAudioVae(decoder)
  })

  it('reports the full name of a missing tensor', () => {
    const elsewhere = weightsOf(checkpoint, 'vae_of_pictures.')
    expect(() => loadAudioVae(elsewhere, config)).toThrow(
      'tiny-ltx-2.3.safetensors has no tensor vae_of_pictures.encoder',
    )
  })
})
