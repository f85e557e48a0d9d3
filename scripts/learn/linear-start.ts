/**
 * Where the audio VAE begins to learn: as nearly the best linear map, principal components of patches of four frames by four bins. Residual blocks
 * begin as identities. A constant channel, larger than all others together, keeps the norms from forgetting levels, and a SiLU of x less one of −x
 * is x.
 */
import { randomFor } from '../../src/platform/random.ts'
import { changeValues, replaceValues, type Tensors } from '../base/tensors.ts'
import type { Mels } from './autoencoder.ts'
import { principalAxes } from './principal.ts'

const components = 8
const constant = 3
const melScale = 2.5
const melMean = -5

/** `[out, in, time, bins]` filled by a few taps. */
type Tap = [out: number, into: number, time: number, bin: number, value: number]

export function startLinearly(tensors: Tensors, mels: Mels) {
  for (const name of tensors.keys()) if (/^audio_vae.*\.conv2\.conv\.(weight|bias)$/.test(name)) fill(tensors, name, [])
  encoder(tensors, principalAxes(patches(mels)))
  decoder(tensors)
}

/** Channel 2·(bin parity) + 4·(time parity) + side of a patch's half, and so on down: what `halving` gathers. */
function encoder(tensors: Tensors, { mean, axes, deviations }: ReturnType<typeof principalAxes>) {
  const at = (name: string) => `audio_vae.encoder.${name}`
  const last = (name: string) => (tensors.get(at(name))?.shape[0] as number) - 1
  const inputs = last('conv_in.conv.weight')
  fill(
    tensors,
    at('conv_in.conv.weight'),
    [0, 1].map((side): Tap => [side, side, 2, 1, 1 / melScale]),
  )
  fillBias(tensors, at('conv_in.conv.bias'), (i) => (i === inputs ? constant : i < 2 ? -melMean / melScale : 0))
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
  // all axes are as loud as each other, and together as loud as 1
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
  const undo = (Math.sqrt(constant ** 2 + 1) / Math.sqrt(deep + 1)) * Math.sqrt(2 * components)
  fill(
    tensors,
    at('conv_out.conv.weight'),
    Array.from({ length: components }, (_, k): Tap[] => [
      [k, k, 2, 1, undo],
      [k, components + k, 2, 1, -undo],
    ]).flat(),
  )
  fillBias(tensors, at('conv_out.conv.bias'), () => 0)
}

/** Latents reach the last level as they are, with some of their neighbours: the rest is for learning. */
function decoder(tensors: Tensors) {
  const at = (name: string) => `audio_vae.decoder.${name}`
  const widthOf = (name: string) => tensors.get(at(name))?.shape as [number, number, number, number]
  const through = (name: string) => {
    const [outputs, inputs, times] = widthOf(`${name}.weight`)
    const random = randomFor(1, 'linear start', name)
    const centre = times - 1
    changeValues(tensors, at(`${name}.weight`), (_, i) => {
      const [into, time, bin] = [Math.floor(i / times ** 2) % inputs, Math.floor(i / times) % times, i % times]
      const out = Math.floor(i / (inputs * times ** 2))
      const isCentre = time === centre && bin === Math.floor(times / 2)
      if (out === outputs - 1 || into === inputs - 1)
        return out === outputs - 1 && into === inputs - 1 && isCentre ? 1 : 0
      return (isCentre && out === into ? 1 : 0) + (0.3 * random.normal()) / Math.sqrt(inputs * times)
    })
    fillBias(tensors, at(`${name}.bias`), () => 0)
  }
  const [deep, latent] = widthOf('conv_in.conv.weight')
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
    through(name)
  fillBias(tensors, at('conv_out.conv.bias'), () => melMean)
}

/** The four places of a patch's half, for so many channels: what comes out where, from which channel, by which tap of a halving. */
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

/** Normalised patches in the order in which two halvings gather them. */
function patches({ count, frames, values }: Mels): Float32Array[] {
  const bins = 64
  const found: Float32Array[] = []
  for (let sound = 0; sound < count; sound += 4)
    for (let t = 1; 4 * t < frames; t += 3)
      for (let f = 0; f < bins / 4; f++) {
        const patch = new Float32Array(32)
        for (let i = 0; i < 32; i++) {
          const [side, bin, time, coarseBin, coarseTime] = [
            i & 1,
            (i >> 1) & 1,
            (i >> 2) & 1,
            (i >> 3) & 1,
            (i >> 4) & 1,
          ]
          const frame = 4 * t - 3 + 2 * coarseTime + time
          const value = values[((sound * 2 + side) * frames + frame) * bins + 4 * f + 2 * coarseBin + bin] as number
          patch[i] = (value - melMean) / melScale
        }
        found.push(patch)
      }
  return found
}

function fill(tensors: Tensors, name: string, taps: readonly Tap[]) {
  const shape = tensors.get(name)?.shape as [number, number, number, number]
  const values = new Float32Array(shape.reduce((a, b) => a * b, 1))
  for (const [out, into, time, bin, value] of taps)
    values[((out * shape[1] + into) * shape[2] + time) * shape[3] + bin] = value
  replaceValues(tensors, name, values)
}

const fillBias = (tensors: Tensors, name: string, at: (i: number) => number) =>
  changeValues(tensors, name, (_, i) => at(i))
