/** The generator that both halves of the vocoder are (spec §4.1): up-convolutions, each followed by the mean of three residual blocks. */
import * as tf from '@tensorflow/tfjs'
import type { GeneratorConfig } from '../config.ts'
import type { Weights } from '../weights.ts'
import { type Activation, activate, loadActivation } from './activation.ts'
import {
  type Convolution,
  convolve,
  loadConvolution,
  loadUpConvolution,
  type UpConvolution,
  upConvolve,
} from './convolution.ts'

export type Generator = {
  input: Convolution
  stages: GeneratorStage[]
  activation: Activation
  output: Convolution
  /** What keeps the samples between −1 and 1, if anything does. */
  finalActivation: 'tanh' | 'clamp' | 'none'
}
type GeneratorStage = { up: UpConvolution; blocks: AmpBlock[] }

/** Hears of a stage while it lasts: the tensor is gone after the call. */
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

/** `[B, 2, M, bins] → [B, M · rates, 2]`. */
export function generate(generator: Generator, mel: tf.Tensor4D, onStage?: StageListener): tf.Tensor3D {
  return tf.tidy(() => {
    const input = convolve(generator.input, mergeStereo(mel))
    onStage?.('conv_pre', input)
    const fine = generator.stages.reduce((x, stage, i) => runStage(stage, x, i, onStage), input)
    const active = activate(generator.activation, fine)
    onStage?.('act_post', active)
    return applyFinalActivation(generator.finalActivation, convolve(generator.output, active))
  })
}

function runStage({ up, blocks }: GeneratorStage, x: tf.Tensor3D, i: number, onStage?: StageListener): tf.Tensor3D {
  return tf.tidy(() => {
    const longer = upConvolve(up, x)
    onStage?.(`up${i}`, longer)
    const opinions = blocks.map((block, j) => {
      const opinion = ampBlock(block, longer)
      onStage?.(`resblock${i * blocks.length + j}`, opinion)
      return opinion
    })
    return tf.mul(tf.addN(opinions), 1 / opinions.length)
  })
}

/** The left channel's bins, then the right's: `[B, 2, M, bins] → [B, M, 2 · bins]`. */
function mergeStereo(mel: tf.Tensor4D): tf.Tensor3D {
  const [batch, channels, frames, bins] = mel.shape
  return tf.reshape(tf.transpose(mel, [0, 2, 1, 3]), [batch, frames, channels * bins])
}

function applyFinalActivation(limiter: Generator['finalActivation'], x: tf.Tensor3D): tf.Tensor3D {
  if (limiter === 'none') return x
  return limiter === 'tanh' ? tf.tanh(x) : tf.clipByValue(x, -1, 1)
}

/** The residual block of the generators (spec §4.1): per dilation an activation and a dilated convolution, then another of each undilated. */

export type AmpBlock = AmpStep[]
type AmpStep = { activations: [Activation, Activation]; convolutions: [Convolution, Convolution] }

export type AmpBlockSize = { width: number; taps: number; dilations: number[] }

export function loadAmpBlock(weights: Weights, { width, taps, dilations }: AmpBlockSize): AmpBlock {
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
export const ampBlock = (steps: AmpBlock, x: tf.Tensor3D): tf.Tensor3D => tf.tidy(() => steps.reduce(ampStep, x))

const ampStep = (x: tf.Tensor3D, { activations, convolutions }: AmpStep): tf.Tensor3D =>
  tf.tidy(() => {
    const dilated = convolve(convolutions[0], activate(activations[0], x))
    return tf.add(x, convolve(convolutions[1], activate(activations[1], dilated)))
  })
