import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, it } from 'vitest'
import { fitClip } from '../../../src/dataset/clips.ts'
import type { Cache } from '../../../src/encode/cache.ts'
import { openClipEncoder } from '../../../src/encode/dataset.ts'
import { openSafetensors } from '../../../src/formats/safetensors.ts'
import {
  clipLatentFrames,
  coveringLatentFrames,
  latentFrames,
  patchify,
  targetLatentFrames,
  unpatchify,
} from '../../../src/model/audio-vae/latents.ts'
import { ltxComponents } from '../../../src/model/checkpoint-layout.ts'
import { readModelConfig } from '../../../src/model/config.ts'
import { normals, randomFor } from '../../../src/platform/random.ts'
import { goldenPath, startGoldenBackend } from '../../golden/golden.ts'

beforeAll(startGoldenBackend)

describe('patchify', () => {
  it('concatenates the bins of all channels per frame and is reversed by unpatchify', () => {
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
})

describe('the number of latent frames', () => {
  it.each([
    [51, 13],
    [101, 26],
    [501, 126],
    [1, 1],
    [4, 1],
    [5, 2],
  ])('of a log-mel of %i frames is %i', (melFrames, frames) => {
    expect(latentFrames(melFrames)).toBe(frames)
  })

  it.each([
    [0.5, 12], // 12.5 is rounded to even
    [0.54, 14], // 13.5 is rounded to even
    [1, 25],
    [1.2, 30],
    [89 / 24, 93], // 92.7
    [5, 125],
    [60, 1500],
  ])('generated for %d s is %i', (seconds, frames) => {
    expect(targetLatentFrames(seconds)).toBe(frames)
  })

  it.each([
    [0.5, 14],
    [1, 26],
    [1.2, 31],
    [1.23, 32],
    [2.37, 60],
    [2.39, 61],
    [5, 126],
    [60, 1501],
  ])('that sound for at least %d s is %i', (seconds, frames) => {
    expect(coveringLatentFrames(seconds)).toBe(frames)
    const soundSeconds = (count: number) => (4 * count - 3) / 100
    expect(soundSeconds(frames)).toBeGreaterThanOrEqual(seconds)
    expect(soundSeconds(frames - 1)).toBeLessThan(seconds)
  })

  it.each([
    [0.5, 13],
    [0.51, 13],
    [0.52, 14],
    [1, 26],
    [1.2, 31],
    [89 / 24, 93],
    [5, 126],
  ])('of a clip of %d s is %i, as in the output of the encoder', async (seconds, frames) => {
    expect(clipLatentFrames(seconds)).toBe(frames)
    const clip = await fitClip(recording(seconds), { how: 'trim' }, { seconds, normalize: false })
    const encoder = openClipEncoder({ ...base, fingerprint: 'test' }, noCache)
    expect((await encoder.encode(clip)).shape[0]).toBe(frames)
    encoder.close()
  })
})

const checkpoint = openSafetensors(goldenPath('tiny-ltx-2.3.safetensors'))
const base = { config: readModelConfig(checkpoint), components: ltxComponents(checkpoint) }

/** Stereo noise at 44.1 kHz that is a little longer than the clip. */
function recording(seconds: number) {
  const samples = Math.ceil((seconds + 0.1) * 44_100)
  const channel = normals(randomFor(1, 'recording'), samples).map((value) => value / 10)
  return { sampleRate: 44_100, channels: [channel, channel] }
}

const noCache: Cache = { get: () => undefined, put: () => {}, getText: () => undefined, putText: () => {} }
