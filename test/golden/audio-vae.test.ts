import * as tf from '@tensorflow/tfjs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  type AudioVae,
  decodeLatents,
  disposeAudioVae,
  encodeMel,
  loadAudioVae,
} from '../../src/model/audio-vae/audio-vae.ts'
import { latentFrames, patchify, unpatchify } from '../../src/model/audio-vae/latents.ts'
import { openBase } from '../../src/model/base-model.ts'
import { goldenSets, startGoldenBackend } from './golden.ts'

describe.each(goldenSets)('$name', (set) => {
  const reference = set.numbers('audio-vae.safetensors')
  const tensor = (name: string) =>
    tf.tensor4d(reference.float32(name), reference.shape(name) as [number, number, number, number])
  /** The case names of all tensors named `<case>.${kind}`. */
  const cases = (kind: string, pattern: RegExp) =>
    reference.names
      .filter((name) => name.endsWith(`.${kind}`))
      .map((name) => name.slice(0, -kind.length - 1))
      .filter((name) => pattern.test(name))

  const encoded = cases('mel', /^(enc|batch)/)
  const decoded = cases('latent', /^dec/)

  let vae: AudioVae
  beforeAll(async () => {
    await startGoldenBackend()
    const { components, config } = openBase(set.base)
    vae = loadAudioVae(components.audioVae, config.audio_vae)
  })
  afterAll(() => disposeAudioVae(vae))

  describe('the audio VAE against the reference', () => {
    it('has cases to encode and to decode', () => {
      expect(encoded.length).toBeGreaterThan(0)
      expect(decoded.length).toBeGreaterThan(0)
    })

    it.each(encoded)('encodes the mel of %s to the reference latents', async (name) => {
      const latents = tf.tidy(() => encodeMel(vae, tensor(`${name}.mel`)))
      expect(latents.shape).toEqual(reference.shape(`${name}.latent`))
      expect(latents.shape[2]).toBe(latentFrames(reference.shape(`${name}.mel`)[2] as number))
      await reference.expectTensor(`${name}.latent`, latents)
      latents.dispose()
    })

    it.each(decoded)('decodes the latents of %s to the reference mel', async (name) => {
      const mel = tf.tidy(() => decodeLatents(vae, tensor(`${name}.latent`)))
      expect(mel.shape).toEqual(reference.shape(`${name}.mel`))
      await reference.expectTensor(`${name}.mel`, mel)
      mel.dispose()
    })

    it.each(reference.names.filter((name) => name === 'patchify.latent'))(
      'patchifies %s as the reference does, and unpatchify reverses it',
      async (name) => {
        const latents = tensor(name)
        const patches = patchify(latents)
        expect(patches.shape).toEqual(reference.shape('patchify.tokens'))
        await reference.expectTensor('patchify.tokens', patches)
        const restored = unpatchify(patches, latents.shape[1])
        expect(restored.shape).toEqual(latents.shape)
        expect(await restored.data()).toEqual(reference.float32(name))
        tf.dispose([latents, patches, restored])
      },
    )
  })
})
