/** The residual block of the generators (spec §4.1): per dilation an activation and a dilated convolution, then another of each undilated. */
import * as tf from '@tensorflow/tfjs'
import type { Weights } from '../../checkpoint/weights.ts'
import { type Activation, activate, loadActivation } from './activation.ts'
import { type Convolution, convolve, loadConvolution } from './convolution.ts'

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
