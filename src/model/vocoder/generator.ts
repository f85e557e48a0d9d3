/**
 * The generator that both halves of the vocoder use (reference §4.1): stages of an up-convolution and three residual blocks, whose outputs are
 * averaged.
 */
import * as tf from '@tensorflow/tfjs'
import { currentBackend } from '../../engine/backend.ts'
import { multiplyChannels } from '../../engine/channels.ts'
import { replicatePad } from '../../engine/chunks.ts'
import { canFuseSnake, fusedSnake } from '../../engine/fused-audio.ts'
import type { GeneratorConfig } from '../config.ts'
import type { Weights } from '../weights.ts'
import {
  type Convolution,
  convolve,
  type DepthwiseFilter,
  depthwiseConvolve,
  depthwiseFilter,
  loadConvolution,
} from './convolution.ts'
import {
  createUpsampler,
  loadUpConvolution,
  type UpConvolution,
  type Upsampler,
  upConvolve,
  upsample,
} from './resampling.ts'

export type Generator = {
  input: Convolution
  stages: GeneratorStage[]
  activation: Activation
  output: Convolution
  /** What limits the samples to [−1, 1]. */
  finalActivation: 'tanh' | 'clamp' | 'none'
}
type GeneratorStage = { up: UpConvolution; blocks: AmpBlock[] }

/** Called with the output of each stage. The tensor is disposed of after the call. */
export type StageListener = (name: string, x: tf.Tensor) => void

export function loadGenerator(weights: Weights, config: GeneratorConfig): Generator {
  const widthAfter = (stages: number) => config.upsample_initial_channel / 2 ** stages
  const count = config.upsample_rates.length
  const blocks = config.resblock_kernel_sizes.length
  return {
    input: loadConvolution(weights.at('conv_pre'), { outputs: widthAfter(0) }),
    stages: config.upsample_rates.map((rate, i) => ({
      up: loadUpConvolution(weights.at(`ups.${i}`), {
        inputs: widthAfter(i),
        outputs: widthAfter(i + 1),
        rate,
        taps: config.upsample_kernel_sizes[i] as number,
      }),
      blocks: config.resblock_kernel_sizes.map((taps, j) =>
        loadAmpBlock(weights.at(`resblocks.${i * blocks + j}`), {
          width: widthAfter(i + 1),
          taps,
          dilations: config.resblock_dilation_sizes[j] as number[],
        }),
      ),
    })),
    activation: loadActivation(weights.at('act_post'), widthAfter(count)),
    output: loadConvolution(weights.at('conv_post'), { inputs: widthAfter(count), bias: config.use_bias_at_final }),
    finalActivation: !config.apply_final_activation ? 'none' : config.use_tanh_at_final ? 'tanh' : 'clamp',
  }
}

/** `[B, 2, M, bins] → [B, M · product of the rates, 2]`. */
export function generate(generator: Generator, mel: tf.Tensor4D, onStage?: StageListener): tf.Tensor3D {
  return tf.tidy(() => {
    const input = convolve(generator.input, mergeStereo(mel))
    onStage?.('conv_pre', input)
    const upsampled = generator.stages.reduce((x, stage, i) => runStage(stage, x, i, onStage), input)
    const activated = activate(generator.activation, upsampled)
    onStage?.('act_post', activated)
    return applyFinalActivation(generator.finalActivation, convolve(generator.output, activated))
  })
}

/** The bins of the left channel, then those of the right: `[B, 2, M, bins] → [B, M, 2 · bins]`. */
function mergeStereo(mel: tf.Tensor4D): tf.Tensor3D {
  const [batch, channels, frames, bins] = mel.shape
  return tf.reshape(tf.transpose(mel, [0, 2, 1, 3]), [batch, frames, channels * bins])
}

function runStage({ up, blocks }: GeneratorStage, x: tf.Tensor3D, i: number, onStage?: StageListener): tf.Tensor3D {
  return tf.tidy(() => {
    const upsampled = upConvolve(up, x)
    onStage?.(`up${i}`, upsampled)
    const branches = blocks.map((block, j) => {
      const branch = ampBlock(block, upsampled)
      onStage?.(`resblock${i * blocks.length + j}`, branch)
      return branch
    })
    return tf.mul(tf.addN(branches), 1 / branches.length)
  })
}

function applyFinalActivation(activation: Generator['finalActivation'], x: tf.Tensor3D): tf.Tensor3D {
  if (activation === 'none') return x
  return activation === 'tanh' ? tf.tanh(x) : clipToFullScale(x)
}

/** Limits to [−1, 1]. Values that are not numbers stay so, for the caller to refuse: `tf.clipByValue` makes ±1 of them on WebAssembly. */
export const clipToFullScale = (x: tf.Tensor3D): tf.Tensor3D => tf.minimum(tf.maximum(x, -1), 1)

/** A residual block: for each dilation an activation and a dilated convolution, then an activation and a plain convolution. */
export type AmpBlock = AmpStep[]
type AmpStep = { activations: [Activation, Activation]; convolutions: [Convolution, Convolution] }

type AmpBlockSize = { width: number; taps: number; dilations: number[] }

function loadAmpBlock(weights: Weights, { width, taps, dilations }: AmpBlockSize): AmpBlock {
  const size = { inputs: width, outputs: width, taps }
  return dilations.map((dilation, m) => ({
    activations: [loadActivation(weights.at(`acts1.${m}`), width), loadActivation(weights.at(`acts2.${m}`), width)],
    convolutions: [
      loadConvolution(weights.at(`convs1.${m}`), { ...size, dilation }),
      loadConvolution(weights.at(`convs2.${m}`), size),
    ],
  }))
}

/** `[B, N, C] → [B, N, C]`. */
const ampBlock = (steps: AmpBlock, x: tf.Tensor3D): tf.Tensor3D => tf.tidy(() => steps.reduce(ampStep, x))

const ampStep = (x: tf.Tensor3D, { activations, convolutions }: AmpStep): tf.Tensor3D =>
  tf.tidy(() => {
    const dilated = convolve(convolutions[0], activate(activations[0], x))
    return convolve(convolutions[1], activate(activations[1], dilated), { residual: x })
  })

/**
 * The anti-aliased activation. SnakeBeta creates overtones, so it runs at twice the sample rate, between an upsampling and a downsampling low-pass
 * filter. The taps of both filters come from the checkpoint: storage as bfloat16 has rounded them, so computing them would give other values.
 */
export type Activation = { filters: Filters; up: Upsampler; snake: Snake; down: DepthwiseFilter }

/** The taps, as the checkpoint stores them. */
type Filters = { up: tf.Tensor1D; down: tf.Tensor1D }

export function loadActivation(weights: Weights, channels: number): Activation {
  const up = weights.float32('upsample.filter', [1, 1, null])
  const down = weights.float32('downsample.lowpass.filter', [1, 1, null])
  return {
    filters: { up: tf.keep(tf.tensor1d(up)), down: tf.keep(tf.tensor1d(down)) },
    up: createUpsampler(up, { rate: 2, padding: (up.length - 2) / 2, channels }),
    snake: loadSnake(weights.at('act'), channels),
    down: depthwiseFilter(down, down.length, channels),
  }
}

/** `[B, N, C] → [B, N, C]`. */
export function activate({ filters, up, snake: layer, down }: Activation, x: tf.Tensor3D): tf.Tensor3D {
  if (canFuseSnake(filters)) return fusedSnake(x, { ...filters, ...layer })
  return tf.tidy(() => downsample(down, snake(layer, upsample(up, x))))
}

/** Every second sample of the low-passed signal: `[B, 2N, C] → [B, N, C]`. */
function downsample(filter: DepthwiseFilter, x: tf.Tensor3D): tf.Tensor3D {
  const half = filter.shape[1] / 2
  return depthwiseConvolve(filter, replicatePad(x, half - 1, half), 2)
}

/** SnakeBeta: x + gain · sin²(frequency · x), with one frequency and gain per channel. Both are `[C]`. */
export type Snake = { frequency: tf.Tensor1D; gain: tf.Tensor1D }

/** frequency = exp(alpha), gain = 1 / (exp(beta) + 1e-9). */
function loadSnake(weights: Weights, channels: number): Snake {
  const frequency = weights.float32('alpha', [channels]).map(Math.exp)
  const gain = weights.float32('beta', [channels]).map((beta) => 1 / (Math.exp(beta) + 1e-9))
  return { frequency: tf.keep(tf.tensor1d(frequency)), gain: tf.keep(tf.tensor1d(gain)) }
}

/** `[B, N, C] → [B, N, C]`. */
export const snake = ({ frequency, gain }: Snake, x: tf.Tensor3D): tf.Tensor3D =>
  tf.tidy(() => tf.add(x, multiplyChannels(sineSquared(multiplyChannels(x, frequency)), gain)))

/**
 * sin²(x). The sine of the WebAssembly backend takes 30 ns per element, which would be more than half of the vocoder's time. A polynomial takes 10 ns.
 * WebGPU allows the sine an error of 5e-4.
 */
export const sineSquared = <T extends tf.Tensor>(x: T): T =>
  tf.square(['wasm', 'webgpu'].includes(currentBackend()) ? sineByPolynomial(x) : tf.sin(x))

/** sin(π r) / r as a polynomial in r², as in `wasm/` and `addon/vector_math.h`, minimax for |r| ≤ ½: the error of the sine is at most 4e-9. */
const coefficients = [3.14159258, -5.16770688, 2.55003138, -0.598045172, 0.0772201259]

/** ±sin(x): reducing x by whole multiples of π may change the sign, which does not matter for the square. */
const sineByPolynomial = <T extends tf.Tensor>(x: T): T =>
  tf.tidy(() => {
    const halfTurns = tf.mul<T>(x, 1 / Math.PI)
    const remainder = tf.sub<T>(halfTurns, tf.round(halfTurns))
    const square = tf.square(remainder)
    const [highest, ...lower] = coefficients.toReversed() as [number, ...number[]]
    const ratio = lower.reduce<tf.Tensor>((sum, c) => tf.add(tf.mul(sum, square), c), tf.scalar(highest))
    return tf.mul(remainder, ratio as T)
  })
