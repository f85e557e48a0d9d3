/** Trains the main generator of the vocoder to reconstruct waveforms from log-mels. The residual of the bandwidth extension is set to zero and not trained. */
import * as tf from '@tensorflow/tfjs'
import { convolve } from '../../src/model/vocoder/convolution.ts'
import {
  type Activation,
  type AmpBlock,
  type Generator,
  loadGenerator,
  snake,
} from '../../src/model/vocoder/generator.ts'
import { upConvolve } from '../../src/model/vocoder/resampling.ts'
import { randomFor } from '../../src/platform/random.ts'
import { mapValues, type Tensors } from '../base/tensors.ts'
import { createLogMel, createStft, magnitudes } from './spectrograms.ts'
import type { Loader } from './trainable.ts'

export const loadMainGenerator: Loader<Generator> = ({ vocoder }, config) =>
  loadGenerator(vocoder.at('vocoder'), config.vocoder.vocoder)

/** The parameters of the activations keep their initial values: the convolutions around them can compensate. */
export function isVocoderWeight(name: string) {
  const block = /^vocoder\.vocoder\.resblocks\.(\d+)\./.exec(name)?.[1]
  if (block !== undefined && !isTrainedBlock(Math.floor(Number(block) / 3), Number(block) % 3)) return false
  return /^vocoder\.vocoder\..*(weight|bias)$/.test(name)
}

/** All three blocks of the first stage, where the receptive field is longest, and the middle block of every other stage. The others are identities. */
const isTrainedBlock = (stage: number, kernel: number) => stage === 0 || kernel === 1

/** Random frequencies for the activations, a small output layer, identities for the untrained blocks, and no residual above 8 kHz. */
export function initVocoder(tensors: Tensors) {
  for (const [name] of tensors) {
    const random = randomFor(3, 'vocoder start', name.replace(/(alpha|beta)$/, ''))
    const isUntrained =
      /^vocoder\.vocoder\.resblocks.*\.convs2\.\d\.(weight|bias)$/.test(name) && !isVocoderWeight(name)
    if (isUntrained || name === 'vocoder.bwe_generator.conv_post.weight') mapValues(tensors, name, () => 0)
    if (/^vocoder\.vocoder.*\.(alpha|beta)$/.test(name)) mapValues(tensors, name, () => 0.6 * random.normal())
    if (name === 'vocoder.vocoder.conv_post.weight') mapValues(tensors, name, (value) => 0.1 * value)
  }
}

const samples = 8000
const hop = 160
const batch = 4
const melNoise = 0.1

/** Magnitudes far below `floor` hardly change the loss. */
export type VocoderBatch = { wave: tf.Tensor2D; noise: tf.Tensor3D; floor: tf.Scalar }

/** Random crops of half a second, `[B · 2, N]`: the two channels of a clip are adjacent. @param clips stereo samples. */
export function vocoderBatch(clips: readonly Float32Array[][], seed: number, step: number): VocoderBatch {
  const random = randomFor(seed, 'vocoder', step)
  const values = new Float32Array(batch * 2 * samples)
  for (let b = 0; b < batch; b++) {
    const clip = clips[Math.floor(random.uniform() * clips.length)] as Float32Array[]
    const length = (clip[0] as Float32Array).length
    const start = random.uniform() < 0.1 ? 0 : Math.floor(random.uniform() * (length - samples))
    clip.forEach((channel, c) => {
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

/** The generator of `src/model/vocoder`, without computing the untrained blocks. */
function generate(generator: Generator, mel: tf.Tensor4D): tf.Tensor3D {
  const [rows, columns] = [mel.shape[2], mel.shape[1] * mel.shape[3]]
  const input = tf.reshape<tf.Rank.R3>(tf.transpose(mel, [0, 2, 1, 3]), [mel.shape[0], rows, columns])
  const upsampled = generator.stages.reduce(
    (x, { up, blocks }, stage) => {
      const y = upConvolve(up, x)
      const branches = blocks.map((block, kernel) => (isTrainedBlock(stage, kernel) ? block.reduce(ampStep, y) : y))
      return tf.mul(tf.addN(branches), 1 / branches.length)
    },
    convolve(generator.input, input),
  )
  return convolve(generator.output, activate(generator.activation, upsampled))
}

const ampStep = (x: tf.Tensor3D, { activations: [first, second], convolutions: [dilated, plain] }: AmpBlock[number]) =>
  tf.add<tf.Tensor3D>(x, convolve(plain, activate(second, convolve(dilated, activate(first, x)))))

/** The anti-aliased activation of `src/model/vocoder`, in ops whose gradients take half as long. */
function activate({ up: { filter, before, after }, snake: layer, down }: Activation, x: tf.Tensor3D): tf.Tensor3D {
  const [batch, length, channels] = x.shape
  const padded = replicatePad(x, before, after)
  const phases = tf.split(filter, 2, 3).map((phase) => depthwiseConvolve(padded, phase as tf.Tensor4D, 1))
  const upsampled = tf.reshape<tf.Rank.R3>(tf.stack(phases, 2), [batch, 2 * length, channels])
  const half = down.shape[1] / 2
  return depthwiseConvolve(replicatePad(snake(layer, upsampled), half - 1, half), down, 2)
}

function replicatePad(x: tf.Tensor3D, before: number, after: number): tf.Tensor3D {
  const [batch, length, channels] = x.shape
  const sample = (at: number) => tf.slice(x, [0, at, 0], [batch, 1, channels])
  return tf.concat([...Array(before).fill(sample(0)), x, ...Array(after).fill(sample(length - 1))], 1)
}

const depthwiseConvolve = (x: tf.Tensor3D, filter: tf.Tensor4D, stride: number): tf.Tensor3D =>
  tf.squeeze(tf.depthwiseConv2d(tf.expandDims<tf.Tensor4D>(x, 1), filter, stride, 'valid'), [1])

/** The loss compares log-mels, and STFT magnitudes at three resolutions: their logarithms and their spectral convergence. */
export function vocoderLoss(generator: Generator) {
  const mel = createLogMel()
  const stfts = [createStft(256, 64), createStft(512, 128), createStft(2048, 256)]
  return ({ wave, noise, floor }: VocoderBatch) => {
    const trueMel = mel(wave)
    const flooredLog = (x: tf.Tensor) => tf.log(tf.add(x, floor))
    const input = tf.reshape(tf.add(trueMel, noise), [batch, 2, samples / hop + 1, 64]) as tf.Tensor4D
    const output = tf.reshape(
      tf.transpose(tf.slice(generate(generator, input), [0, 0, 0], [-1, samples, -1]), [0, 2, 1]),
      [batch * 2, samples],
    ) as tf.Tensor2D
    const outputMel = mel(output)
    const melDistance = tf.mean(tf.abs(tf.sub(outputMel, trueMel))) as tf.Scalar
    const flooredMelDistance = tf.mean(
      tf.abs(tf.sub(flooredLog(tf.exp(outputMel)), flooredLog(tf.exp(trueMel)))),
    ) as tf.Scalar
    const stftLosses = stfts.map((stft) => {
      const [a, b] = [magnitudes(stft, output), magnitudes(stft, wave)]
      const logDistance = tf.mean(tf.abs(tf.sub(flooredLog(a), flooredLog(b))))
      const difference = tf.sqrt(tf.add(tf.sum(tf.square(tf.sub(a, b))), 1e-9))
      return tf.add(logDistance, tf.div(difference, tf.sqrt(tf.add(tf.sum(tf.square(b)), 1e-6))))
    })
    const spectral = tf.div(tf.addN(stftLosses), stftLosses.length) as tf.Scalar
    const loss = tf.add(tf.mul(2, flooredMelDistance), spectral) as tf.Scalar
    return { loss, flooredMelDistance, spectral, melDistance }
  }
}
