/** One layer of the text tower: attention and a gated feed-forward, each normalised before and after (spec §5.3). */
import * as tf from '@tensorflow/tfjs'
import type { Weights } from '../../checkpoint/weights.ts'
import { type Linear, linear, loadLinear } from '../linear.ts'
import { gelu } from '../norm.ts'
import { type GemmaAttention, gemmaAttention, loadGemmaAttention } from './gemma-attention.ts'
import type { GemmaConfig } from './gemma-config.ts'
import { type GainNorm, gainNorm, loadGainNorm } from './gemma-norm.ts'
import type { Positions } from './gemma-positions.ts'

export type GemmaLayer = {
  attention: GemmaAttention
  feedForward: { gate: Linear; up: Linear; down: Linear }
  beforeAttention: GainNorm
  afterAttention: GainNorm
  beforeFeedForward: GainNorm
  afterFeedForward: GainNorm
}

export function loadGemmaLayer(weights: Weights, config: GemmaConfig): GemmaLayer {
  const { hiddenSize, normEpsilon } = config
  const [inner] = weights.shape('mlp.gate_proj.weight') as [number]
  const norm = (name: string) => loadGainNorm(weights.at(name), hiddenSize, normEpsilon)
  return {
    attention: loadGemmaAttention(weights.at('self_attn'), config),
    feedForward: {
      gate: loadLinear(weights.at('mlp.gate_proj'), hiddenSize, inner),
      up: loadLinear(weights.at('mlp.up_proj'), hiddenSize, inner),
      down: loadLinear(weights.at('mlp.down_proj'), inner, hiddenSize),
    },
    beforeAttention: norm('input_layernorm'),
    afterAttention: norm('post_attention_layernorm'),
    beforeFeedForward: norm('pre_feedforward_layernorm'),
    afterFeedForward: norm('post_feedforward_layernorm'),
  }
}

/** The layer's matrices, each of which is multiplied with every caption before the layer goes. */
export const matricesOf = ({ attention: { query, key, value, output }, feedForward: { gate, up, down } }: GemmaLayer) =>
  [query, key, value, output, gate, up, down].map(({ weight }) => weight)

/** `[S, D] → [S, D]`, one caption. */
export function gemmaLayer(layer: GemmaLayer, x: tf.Tensor2D, positions: Positions): tf.Tensor2D {
  const attended = gemmaAttention(layer.attention, gainNorm(layer.beforeAttention, x), positions)
  const middle = tf.add<tf.Tensor2D>(x, gainNorm(layer.afterAttention, attended))
  const fed = gatedFeedForward(layer.feedForward, gainNorm(layer.beforeFeedForward, middle))
  return tf.add(middle, gainNorm(layer.afterFeedForward, fed))
}

const gatedFeedForward = ({ gate, up, down }: GemmaLayer['feedForward'], x: tf.Tensor2D) =>
  linear(down, tf.mul(gelu(linear(gate, x)), linear(up, x)))
