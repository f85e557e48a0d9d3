import * as tf from '@tensorflow/tfjs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Mel } from '../../../src/audio/mel.ts'
import { rows } from '../../../src/engine/device-tensors.ts'
import { openSafetensors } from '../../../src/formats/safetensors.ts'
import { type AudioVae, disposeAudioVae, loadAudioVae } from '../../../src/model/audio-vae/audio-vae.ts'
import { decodeInPieces, decoderContext, encodeInPieces, encoderContext } from '../../../src/model/audio-vae/pieces.ts'
import { readModelConfig } from '../../../src/model/config.ts'
import { weightsOf } from '../../../src/model/weights.ts'
import { normals, randomFor } from '../../../src/platform/random.ts'
import { goldenPath, startGoldenBackend } from '../../golden/golden.ts'

const checkpoint = openSafetensors(goldenPath('tiny-ltx-2.3.safetensors'))
const config = readModelConfig(checkpoint).audio_vae
const latentChannels = config.model.params.ddconfig.z_channels
const frames = 123

let vae: AudioVae
beforeAll(async () => {
  await startGoldenBackend()
  vae = loadAudioVae(weightsOf(checkpoint, 'audio_vae.'), config)
})
afterAll(() => disposeAudioVae(vae))

/** Mel frames that depend on their position alone. */
const melOf = (from: number, to: number): Mel => ({
  channels: 2,
  frames: to - from,
  melBins: 64,
  data: Float32Array.from({ length: 2 * (to - from) * 64 }, (_, i) => {
    const [channel, frame] = [Math.floor(i / 64 / (to - from)), from + (Math.floor(i / 64) % (to - from))]
    return -4 + Math.sin(frame * 0.37 + channel) * Math.cos((i % 64) * 0.9 + frame * frame)
  }),
})

const largestDifference = (a: Float32Array, b: Float32Array) =>
  a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - (b[i] as number))), 0)

describe('a recording in pieces', () => {
  it.each([7, 64])('of %i latent frames is encoded as the whole is', async (pieceFrames) => {
    const before = tf.memory().numTensors
    const whole = await encodeInPieces(vae, frames, melOf, { pieceFrames: frames })
    const done: number[] = []
    const pieces = await encodeInPieces(vae, frames, melOf, { pieceFrames, onProgress: (n) => done.push(n) })
    expect(pieces.shape).toEqual([frames, 128])
    expect(largestDifference(pieces.values, whole.values)).toBeLessThan(1e-6)
    expect([done.length, done.at(-1)]).toEqual([Math.ceil(frames / pieceFrames), frames])
    expect(tf.memory().numTensors).toBe(before)
  })

  it.each([7, 64])('of %i latent frames is decoded as the whole is', async (pieceFrames) => {
    const before = tf.memory().numTensors
    const latents = { shape: [frames, 128] as [number, number], values: normals(randomFor(1, 'latents'), frames * 128) }
    const whole = await decodeInPieces(vae, latents, latentChannels, { pieceFrames: frames })
    const pieces = await decodeInPieces(vae, latents, latentChannels, { pieceFrames })
    expect([pieces.channels, pieces.frames, pieces.melBins]).toEqual([2, 4 * frames - 3, 64])
    expect(largestDifference(pieces.data, whole.data)).toBeLessThan(1e-6)
    expect(tf.memory().numTensors).toBe(before)
  })
})

describe('the context of a piece', () => {
  it('is as long as a latent frame influences the decoded mel', async () => {
    const context = decoderContext(vae.decoder as NonNullable<AudioVae['decoder']>)
    const latents = { shape: [frames, 128] as [number, number], values: normals(randomFor(2, 'latents'), frames * 128) }
    const changed = { ...latents, values: latents.values.slice() }
    rows(changed, 20, 21).values.fill(9)
    const [a, b] = [
      await decodeInPieces(vae, latents, latentChannels),
      await decodeInPieces(vae, changed, latentChannels),
    ]
    const differs = (frame: number) => {
      const at = frame * 64
      return largestDifference(a.data.subarray(at, at + 64), b.data.subarray(at, at + 64)) > 0
    }
    const changedFrames = Array.from({ length: a.frames }, (_, frame) => frame).filter(differs)
    expect(changedFrames[0]).toBe(4 * 20 - 3)
    expect(changedFrames.at(-1)).toBeLessThanOrEqual(4 * (20 + context))
    expect(changedFrames.at(-1)).toBeGreaterThan(4 * (20 + context - 4))
  })

  it('is as long as a mel frame influences the latents', async () => {
    const context = encoderContext(vae.encoder as NonNullable<AudioVae['encoder']>)
    const changedMelOf = (from: number, to: number) => {
      const mel = melOf(from, to)
      if (from <= 40 && 40 < to) mel.data.fill(3, (40 - from) * 64, (41 - from) * 64)
      return mel
    }
    const [a, b] = [await encodeInPieces(vae, frames, melOf), await encodeInPieces(vae, frames, changedMelOf)]
    const differs = (frame: number) =>
      largestDifference(rows(a, frame, frame + 1).values, rows(b, frame, frame + 1).values) > 0
    const changedFrames = Array.from({ length: frames }, (_, frame) => frame).filter(differs)
    expect(changedFrames[0]).toBe(10)
    expect(changedFrames.at(-1)).toBeLessThanOrEqual(10 + context)
    expect(changedFrames.at(-1)).toBeGreaterThan(10 + context - 4)
  })
})
