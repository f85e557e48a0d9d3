/**
 * Initializes the audio VAE as a nearly linear map: the encoder computes the principal components of patches of 4 frames × 4 bins × 2 channels.
 * Residual blocks are identities. The last channel of every layer is a constant that is larger than the others, so that PixelNorm scales all frames and
 * bins alike. SiLU is made linear by SiLU(x) − SiLU(−x) = x.
 */
import { randomFor } from '../../src/platform/random.ts'
import { logMel } from '../base/sizes.ts'
import { mapValues, replaceValues, type Tensors } from '../base/tensors.ts'
import type { LogMels } from './audio-vae.ts'
import { principalAxes } from './pca.ts'

const components = 8
/** The value of the constant channel. */
const constant = 3

/** One element of a kernel `[out, in, time, bins]`; all others are zero. */
type Tap = [out: number, into: number, time: number, bin: number, value: number]

export function initAudioVae(tensors: Tensors, logMels: LogMels) {
  for (const name of tensors.keys()) if (/^audio_vae.*\.conv2\.conv\.(weight|bias)$/.test(name)) fill(tensors, name, [])
  initEncoder(tensors, principalAxes(melPatches(logMels)))
  initDecoder(tensors)
}

/** Each downsampling convolution gathers 2 × 2 frames and bins as channels, in the order (time · 2 + bin) · channels + channel. */
function initEncoder(tensors: Tensors, { mean, axes, deviations }: ReturnType<typeof principalAxes>) {
  const at = (name: string) => `audio_vae.encoder.${name}`
  const last = (name: string) => (tensors.get(at(name))?.shape[0] as number) - 1
  const inputs = last('conv_in.conv.weight')
  fill(
    tensors,
    at('conv_in.conv.weight'),
    [0, 1].map((channel): Tap => [channel, channel, 2, 1, 1 / logMel.deviation]),
  )
  fillBias(tensors, at('conv_in.conv.bias'), (i) =>
    i === inputs ? constant : i < 2 ? -logMel.mean / logMel.deviation : 0,
  )
  fill(tensors, at('down.0.downsample.conv.weight'), [
    ...quarters(2).map(([out, into, time, bin]): Tap => [out, into, time, bin, 1]),
    [inputs, inputs, 2, 0, 1],
  ])
  fillBias(tensors, at('down.0.downsample.conv.bias'), () => 0)
  const middle = last('down.1.downsample.conv.weight')
  fill(tensors, at('down.1.block.0.nin_shortcut.conv.weight'), [
    ...Array.from({ length: 8 }, (_, i): Tap => [i, i, 0, 0, 1]),
    [middle, inputs, 0, 0, 1],
  ])
  fillBias(tensors, at('down.1.block.0.nin_shortcut.conv.bias'), () => 0)
  // all components have the same variance, and their sum of squares is about 1/2
  const gain = (k: number) => 1 / ((deviations[k] as number) * Math.sqrt(2 * components))
  const axis = (k: number) => axes[k] as Float64Array
  fill(tensors, at('down.1.downsample.conv.weight'), [
    ...Array.from({ length: components }, (_, k) =>
      quarters(8).map(
        ([position, into, time, bin]): Tap => [k, into, time, bin, gain(k) * (axis(k)[position] as number)],
      ),
    ).flat(),
    [middle, middle, 2, 0, 1],
  ])
  const offset = (k: number) => -gain(k) * axis(k).reduce((sum, a, i) => sum + a * (mean[i] as number), 0)
  fillBias(tensors, at('down.1.downsample.conv.bias'), (k) => (k < components ? offset(k) : 0))
  const deep = last('down.2.block.0.nin_shortcut.conv.weight')
  fill(tensors, at('down.2.block.0.nin_shortcut.conv.weight'), [
    ...Array.from({ length: components }, (_, k): Tap[] => [
      [k, k, 0, 0, 1],
      [components + k, k, 0, 0, -1],
    ]).flat(),
    [deep, middle, 0, 0, 1],
  ])
  fillBias(tensors, at('down.2.block.0.nin_shortcut.conv.bias'), () => 0)
  const unscale = (Math.sqrt(constant ** 2 + 1) / Math.sqrt(deep + 1)) * Math.sqrt(2 * components)
  fill(
    tensors,
    at('conv_out.conv.weight'),
    Array.from({ length: components }, (_, k): Tap[] => [
      [k, k, 2, 1, unscale],
      [k, components + k, 2, 1, -unscale],
    ]).flat(),
  )
  fillBias(tensors, at('conv_out.conv.bias'), () => 0)
}

/** The layers copy their inputs and add a little noise, so the latents reach the last level; the rest is left to training. */
function initDecoder(tensors: Tensors) {
  const at = (name: string) => `audio_vae.decoder.${name}`
  const shapeOf = (name: string) => tensors.get(at(name))?.shape as [number, number, number, number]
  const initNearIdentity = (name: string) => {
    const [outputs, inputs, times] = shapeOf(`${name}.weight`)
    const random = randomFor(1, 'linear start', name)
    const lastTap = times - 1
    mapValues(tensors, at(`${name}.weight`), (_, i) => {
      const [into, time, bin] = [Math.floor(i / times ** 2) % inputs, Math.floor(i / times) % times, i % times]
      const out = Math.floor(i / (inputs * times ** 2))
      const isCenter = time === lastTap && bin === Math.floor(times / 2)
      if (out === outputs - 1 || into === inputs - 1)
        return out === outputs - 1 && into === inputs - 1 && isCenter ? 1 : 0
      return (isCenter && out === into ? 1 : 0) + (0.3 * random.normal()) / Math.sqrt(inputs * times)
    })
    fillBias(tensors, at(`${name}.bias`), () => 0)
  }
  const [deep, latent] = shapeOf('conv_in.conv.weight')
  const random = randomFor(1, 'linear start', 'decoder input')
  fill(
    tensors,
    at('conv_in.conv.weight'),
    Array.from({ length: deep - 1 }, (_, out): Tap[] =>
      Array.from({ length: latent }, (_, into): Tap => {
        const value = out < latent ? (out === into ? 1 : 0) : 0.5 * random.normal()
        return [out, into, 2, 1, value / Math.sqrt(2 * components)]
      }),
    ).flat(),
  )
  fillBias(tensors, at('conv_in.conv.bias'), (i) => (i === deep - 1 ? constant : 0))
  for (const name of [
    'up.2.upsample.conv.conv',
    'up.1.block.0.nin_shortcut.conv',
    'up.1.upsample.conv.conv',
    'up.0.block.0.nin_shortcut.conv',
  ])
    initNearIdentity(name)
  fillBias(tensors, at('conv_out.conv.bias'), () => logMel.mean)
}

/** The taps with which a downsampling convolution gathers the four frames and bins of all channels. */
const quarters = (channels: number): [out: number, into: number, time: number, bin: number][] =>
  [0, 1].flatMap((time) =>
    [0, 1].flatMap((bin) =>
      Array.from({ length: channels }, (_, into): [number, number, number, number] => [
        (time * 2 + bin) * channels + into,
        into,
        1 + time,
        bin,
      ]),
    ),
  )

/** Normalized patches of every fourth log-mel, in the order in which the two downsampling convolutions gather them. */
function melPatches({ count, frames, values }: LogMels): Float32Array[] {
  const bins = 64
  const patches: Float32Array[] = []
  for (let clip = 0; clip < count; clip += 4)
    for (let t = 1; 4 * t < frames; t += 3)
      for (let f = 0; f < bins / 4; f++) {
        const patch = new Float32Array(32)
        for (let i = 0; i < 32; i++) {
          const [channel, bin, time, coarseBin, coarseTime] = [
            i & 1,
            (i >> 1) & 1,
            (i >> 2) & 1,
            (i >> 3) & 1,
            (i >> 4) & 1,
          ]
          const frame = 4 * t - 3 + 2 * coarseTime + time
          const value = values[((clip * 2 + channel) * frames + frame) * bins + 4 * f + 2 * coarseBin + bin] as number
          patch[i] = (value - logMel.mean) / logMel.deviation
        }
        patches.push(patch)
      }
  return patches
}

/** Sets a kernel to these taps and zeros. */
function fill(tensors: Tensors, name: string, taps: readonly Tap[]) {
  const shape = tensors.get(name)?.shape as [number, number, number, number]
  const values = new Float32Array(shape.reduce((a, b) => a * b, 1))
  for (const [out, into, time, bin, value] of taps)
    values[((out * shape[1] + into) * shape[2] + time) * shape[3] + bin] = value
  replaceValues(tensors, name, values)
}

const fillBias = (tensors: Tensors, name: string, at: (i: number) => number) =>
  mapValues(tensors, name, (_, i) => at(i))
