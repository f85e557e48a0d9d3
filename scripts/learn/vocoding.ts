/** Teaches the vocoder's first half to sound as its mel says. Bandwidth extension learns nothing: its residual is set to zero. */
import * as tf from '@tensorflow/tfjs'
import { convolve } from '../../src/model/vocoder/convolution.ts'
import type { Activation, AmpBlock } from '../../src/model/vocoder/generator.ts'
import { type Generator, loadGenerator, snake } from '../../src/model/vocoder/generator.ts'
import { upConvolve } from '../../src/model/vocoder/resampling.ts'
import { randomFor } from '../../src/platform/random.ts'
import { changeValues, type Tensors } from '../base/tensors.ts'
import type { Loader } from './learnable.ts'
import { magnitudes, melOf, spectrum } from './spectra.ts'

export const loadMainGenerator: Loader<Generator> = ({ vocoder }, config) =>
  loadGenerator(vocoder.at('vocoder'), config.vocoder.vocoder)

/** The activations' own parameters stay as they were drawn: the convolutions around them can do the same. */
export function isVocoderWeight(name: string) {
  const block = /^vocoder\.vocoder\.resblocks\.(\d+)\./.exec(name)?.[1]
  if (block !== undefined && !learns(Math.floor(Number(block) / 3), Number(block) % 3)) return false
  return /^vocoder\.vocoder\..*(weight|bias)$/.test(name)
}

/** All three kernels at the slowest rate, where they hear furthest; after that one of them. The others pass on what they get, at no cost here. */
const learns = (stage: number, kernel: number) => stage === 0 || kernel === 1

/** Activations of many frequencies, convolutions that begin as little, no residual above 8 kHz. */
export function startVocoder(tensors: Tensors) {
  for (const [name] of tensors) {
    const random = randomFor(3, 'vocoder start', name.replace(/(alpha|beta)$/, ''))
    const isIdle = /^vocoder\.vocoder\.resblocks.*\.convs2\.\d\.(weight|bias)$/.test(name) && !isVocoderWeight(name)
    if (isIdle || name === 'vocoder.bwe_generator.conv_post.weight') changeValues(tensors, name, () => 0)
    if (/^vocoder\.vocoder.*\.(alpha|beta)$/.test(name)) changeValues(tensors, name, () => 0.6 * random.normal())
    if (name === 'vocoder.vocoder.conv_post.weight') changeValues(tensors, name, (value) => 0.1 * value)
  }
}

const samples = 8000
const hop = 160
const batch = 4
const melNoise = 0.1

/** What is far below `floor` does not count. */
export type VocoderInputs = { wave: tf.Tensor2D; noise: tf.Tensor3D; floor: tf.Scalar }

/** Half-second pieces, `[B · 2, N]`: the two channels of a sound one after the other. @param sounds stereo samples. */
export function vocoderInputs(sounds: readonly Float32Array[][], seed: number, step: number): VocoderInputs {
  const random = randomFor(seed, 'vocoder', step)
  const values = new Float32Array(batch * 2 * samples)
  for (let b = 0; b < batch; b++) {
    const sound = sounds[Math.floor(random.uniform() * sounds.length)] as Float32Array[]
    const length = (sound[0] as Float32Array).length
    const start = random.uniform() < 0.1 ? 0 : Math.floor(random.uniform() * (length - samples))
    sound.forEach((channel, c) => {
      values.set(channel.subarray(start, start + samples), (b * 2 + c) * samples)
    })
  }
  return {
    floor: tf.scalar(3e-3 * Math.max(0.1, 0.1 ** (step / 3000))),
    wave: tf.tensor2d(values, [batch * 2, samples]),
    noise: tf.randomNormal(
      [batch * 2, samples / hop + 1, 64],
      0,
      melNoise,
      'float32',
      Math.floor(random.uniform() * 2 ** 31),
    ),
  }
}

/** The product's generator without what the idle blocks would compute. */
function generated(generator: Generator, mel: tf.Tensor4D): tf.Tensor3D {
  const [rows, columns] = [mel.shape[2], mel.shape[1] * mel.shape[3]]
  const input = tf.reshape<tf.Rank.R3>(tf.transpose(mel, [0, 2, 1, 3]), [mel.shape[0], rows, columns])
  const fine = generator.stages.reduce(
    (x, { up, blocks }, stage) => {
      const longer = upConvolve(up, x)
      const opinions = blocks.map((block, kernel) => (learns(stage, kernel) ? block.reduce(ampStep, longer) : longer))
      return tf.mul(tf.addN(opinions), 1 / opinions.length)
    },
    convolve(generator.input, input),
  )
  return convolve(generator.output, activated(generator.activation, fine))
}

const ampStep = (x: tf.Tensor3D, { activations: [first, second], convolutions: [dilated, plain] }: AmpBlock[number]) =>
  tf.add<tf.Tensor3D>(x, convolve(plain, activated(second, convolve(dilated, activated(first, x)))))

/** The product's anti-aliased activation, in ops whose gradients take half the time. */
function activated({ up: { filter, before, after }, snake: layer, down }: Activation, x: tf.Tensor3D): tf.Tensor3D {
  const [batch, length, channels] = x.shape
  const edged = held(x, before, after)
  const phases = tf.split(filter, 2, 3).map((phase) => filtered(edged, phase as tf.Tensor4D, 1))
  const twice = tf.reshape<tf.Rank.R3>(tf.stack(phases, 2), [batch, 2 * length, channels])
  const half = down.shape[1] / 2
  return filtered(held(snake(layer, twice), half - 1, half), down, 2)
}

function held(x: tf.Tensor3D, before: number, after: number): tf.Tensor3D {
  const [batch, length, channels] = x.shape
  const sample = (at: number) => tf.slice(x, [0, at, 0], [batch, 1, channels])
  return tf.concat([...Array(before).fill(sample(0)), x, ...Array(after).fill(sample(length - 1))], 1)
}

const filtered = (x: tf.Tensor3D, filter: tf.Tensor4D, stride: number): tf.Tensor3D =>
  tf.squeeze(tf.depthwiseConv2d(tf.expandDims<tf.Tensor4D>(x, 1), filter, stride, 'valid'), [1])

/** @returns a loss that compares log-mels, and magnitudes at three resolutions. */
export function vocoderLoss(generator: Generator) {
  const mel = melOf()
  const scales = [spectrum(256, 64), spectrum(512, 128), spectrum(2048, 256)]
  return ({ wave, noise, floor }: VocoderInputs) => {
    const wanted = mel(wave)
    const inNepers = (x: tf.Tensor) => tf.log(tf.add(x, floor))
    const told = tf.reshape(tf.add(wanted, noise), [batch, 2, samples / hop + 1, 64]) as tf.Tensor4D
    const made = tf.reshape(
      tf.transpose(tf.slice(generated(generator, told), [0, 0, 0], [-1, samples, -1]), [0, 2, 1]),
      [batch * 2, samples],
    ) as tf.Tensor2D
    const heard = mel(made)
    const melDistance = tf.mean(tf.abs(tf.sub(heard, wanted))) as tf.Scalar
    const audible = tf.mean(tf.abs(tf.sub(inNepers(tf.exp(heard)), inNepers(tf.exp(wanted))))) as tf.Scalar
    const fine = scales.map((scale) => {
      const [a, b] = [magnitudes(scale, made), magnitudes(scale, wave)]
      const inLogs = tf.mean(tf.abs(tf.sub(inNepers(a), inNepers(b))))
      const difference = tf.sqrt(tf.add(tf.sum(tf.square(tf.sub(a, b))), 1e-9))
      return tf.add(inLogs, tf.div(difference, tf.sqrt(tf.add(tf.sum(tf.square(b)), 1e-6))))
    })
    const spectral = tf.div(tf.addN(fine), fine.length) as tf.Scalar
    return { loss: tf.add(tf.mul(2, audible), spectral) as tf.Scalar, audible, spectral, melDistance }
  }
}
