import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, it } from 'vitest'
import { startBackend } from '../../../src/engine/backend.ts'
import { latentFrames, patchify, unpatchify } from '../../../src/model/audio-vae/latents.ts'

describe('patches', () => {
  beforeAll(() => startBackend('cpu'))

  it('hold the bins of channel 0, then those of channel 1', () => {
    tf.tidy(() => {
      const latents = tf.tensor4d([111, 112, 121, 122, 211, 212, 221, 222], [1, 2, 2, 2]) // channel, frame, bin
      const patches = patchify(latents)
      expect(patches.arraySync()).toEqual([
        [
          [111, 112, 211, 212],
          [121, 122, 221, 222],
        ],
      ])
      expect(unpatchify(patches, 2).arraySync()).toEqual(latents.arraySync())
    })
  })

  it.each([
    [51, 13],
    [101, 26],
    [501, 126],
    [1, 1],
    [4, 1],
    [5, 2],
  ])('a log-mel of %i frames has %i latent frames', (melFrames, frames) => {
    expect(latentFrames(melFrames)).toBe(frames)
  })
})
