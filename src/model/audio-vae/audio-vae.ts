/**
 * The audio autoencoder (spec §3): a log-mel becomes latents a quarter as long, and latents become a log-mel again. Outside this folder mels are
 * `[B, 2, M, 64]` and latents `[B, 8, T, 16]`, as files and the reference have them; inside everything is channels-last, `[B, time, bins, C]`,
 * the one layout in which TensorFlow.js convolves.
 */
import * as tf from '@tensorflow/tfjs'
import type { AudioVaeConfig } from '../config.ts'
import type { Weights } from '../weights.ts'
import { denormalizeLatents, type LatentStatistics, loadStatistics, normalizeLatents } from './latents.ts'
import {
  pixelNormSilu,
  type Convolution,
  causalConvolution,
  downsample,
  loadConvolution,
  loadResBlock,
  type ResBlock,
  resBlock,
} from './layers.ts'

export type AudioVae = { encoder?: Encoder; decoder?: Decoder; statistics: LatentStatistics }

/** Training needs only the encoder; a preview without a reference clip needs only the decoder. */
export type AudioVaeParts = { encoder?: boolean; decoder?: boolean }

/**
 * @param weights the component's: `weightsOf(file, 'audio_vae.')`.
 * @throws UserError when a tensor is missing or its shape is not the config's.
 */
export function loadAudioVae(
  weights: Weights,
  config: AudioVaeConfig,
  { encoder = true, decoder = true }: AudioVaeParts = {},
): AudioVae {
  const sizes = config.model.params.ddconfig
  return {
    ...(encoder && { encoder: loadEncoder(weights.at('encoder'), sizes) }),
    ...(decoder && { decoder: loadDecoder(weights.at('decoder'), sizes) }),
    statistics: loadStatistics(weights.at('per_channel_statistics'), sizes),
  }
}

/** The normalised latents of a log-mel, without sampling: `[B, 2, M, 64] → [B, 8, T, 16]`, T = ceil(M / 4). */
export function encodeMel({ encoder, statistics }: AudioVae, mel: tf.Tensor4D): tf.Tensor4D {
  if (!encoder) throw new Error('this audio VAE was loaded without its encoder')
  return tf.tidy(() => channelsFirst(normalizeLatents(statistics, encode(encoder, channelsLast(mel)))))
}

/** The log-mel of normalised latents: `[B, 8, T, 16] → [B, 2, 4T − 3, 64]`. */
export function decodeLatents({ decoder, statistics }: AudioVae, latents: tf.Tensor4D): tf.Tensor4D {
  if (!decoder) throw new Error('this audio VAE was loaded without its decoder')
  return tf.tidy(() => channelsFirst(decode(decoder, denormalizeLatents(statistics, channelsLast(latents)))))
}

export const disposeAudioVae = (vae: AudioVae) => tf.dispose(vae)

const channelsLast = (x: tf.Tensor4D): tf.Tensor4D => tf.transpose(x, [0, 2, 3, 1])
const channelsFirst = (x: tf.Tensor4D): tf.Tensor4D => tf.transpose(x, [0, 3, 1, 2])

/** The encoder half of the audio autoencoder (spec §3.2): levels of residual blocks, each but the last followed by a halving of time and bins. */

export type Encoder = { input: Convolution; levels: EncoderLevel[]; middle: ResBlock[]; output: Convolution }
type EncoderLevel = { blocks: ResBlock[]; downsample?: Convolution }

type Sizes = AudioVaeConfig['model']['params']['ddconfig']

export function loadEncoder(weights: Weights, sizes: Sizes): Encoder {
  const widths = sizes.ch_mult.map((factor) => sizes.ch * factor)
  const deepest = widths.at(-1) as number
  return {
    input: loadConvolution(weights.at('conv_in.conv'), { inputs: sizes.in_channels, outputs: sizes.ch }),
    levels: widths.map((width, i) => ({
      blocks: Array.from({ length: sizes.num_res_blocks }, (_, j) =>
        loadResBlock(weights.at(`down.${i}.block.${j}`), j === 0 ? (widths[i - 1] ?? sizes.ch) : width, width),
      ),
      ...(i < widths.length - 1 && {
        halving: loadConvolution(weights.at(`down.${i}.downsample.conv`), { inputs: width, outputs: width }),
      }),
    })),
    middle: [1, 2].map((i) => loadResBlock(weights.at(`mid.block_${i}`), deepest, deepest)),
    output: loadMeanHead(weights.at('conv_out.conv'), deepest, sizes),
  }
}

/** `[B, M, melBins, 2] → [B, T, F, C]`, the means of the latents, not yet normalised. */
export function encode({ input, levels, middle, output }: Encoder, mel: tf.Tensor4D): tf.Tensor4D {
  const fine = causalConvolution(input, mel)
  const coarse = levels.reduce(encodeLevel, fine)
  const deep = middle.reduce((x, block) => resBlock(block, x), coarse)
  return causalConvolution(output, pixelNormSilu(deep))
}

const encodeLevel = (x: tf.Tensor4D, { blocks, downsample: halving }: EncoderLevel): tf.Tensor4D =>
  tf.tidy(() => {
    const y = blocks.reduce((inner, block) => resBlock(block, inner), x)
    return halving ? downsample(halving, y) : y
  })

/** The head also predicts a log-variance for sampling, which neither training nor inference uses: those channels are left out. */
function loadMeanHead(weights: Weights, inputs: number, sizes: Sizes): Convolution {
  const means = sizes.z_channels
  const head = loadConvolution(weights, { inputs, outputs: sizes.double_z ? 2 * means : means })
  if (!sizes.double_z) return head
  const kernel = tf.keep(tf.slice(head.kernel, [0, 0, 0, 0], [-1, -1, -1, means]))
  const bias = tf.keep(tf.slice(head.bias, 0, means))
  tf.dispose(head)
  return { kernel, bias }
}

/** The decoder half of the audio autoencoder (spec §3.3). Its levels are stored finest first and run coarsest first. */

/** `levels` in the order in which they run. */
export type Decoder = { input: Convolution; middle: ResBlock[]; levels: DecoderLevel[]; output: Convolution }
type DecoderLevel = { blocks: ResBlock[]; upsample?: Convolution }

export function loadDecoder(weights: Weights, sizes: Sizes): Decoder {
  const widths = sizes.ch_mult.map((factor) => sizes.ch * factor)
  const deepest = widths.at(-1) as number
  const loadLevel = (width: number, i: number): DecoderLevel => ({
    blocks: Array.from({ length: sizes.num_res_blocks + 1 }, (_, j) =>
      loadResBlock(weights.at(`up.${i}.block.${j}`), j === 0 ? (widths[i + 1] ?? width) : width, width),
    ),
    ...(i > 0 && {
      upsample: loadConvolution(weights.at(`up.${i}.upsample.conv.conv`), { inputs: width, outputs: width }),
    }),
  })
  return {
    input: loadConvolution(weights.at('conv_in.conv'), { inputs: sizes.z_channels, outputs: deepest }),
    middle: [1, 2].map((i) => loadResBlock(weights.at(`mid.block_${i}`), deepest, deepest)),
    levels: widths.map(loadLevel).reverse(),
    output: loadConvolution(weights.at('conv_out.conv'), { inputs: widths[0] as number, outputs: sizes.out_ch }),
  }
}

/** `[B, T, F, C] → [B, 4T − 3, melBins, 2]`, from latents in their own scale. */
export function decode({ input, middle, levels, output }: Decoder, latents: tf.Tensor4D): tf.Tensor4D {
  const deep = middle.reduce((x, block) => resBlock(block, x), causalConvolution(input, latents))
  const fine = levels.reduce(decodeLevel, deep)
  return causalConvolution(output, pixelNormSilu(fine))
}

const decodeLevel = (x: tf.Tensor4D, { blocks, upsample: doubling }: DecoderLevel): tf.Tensor4D =>
  tf.tidy(() => {
    const y = blocks.reduce((inner, block) => resBlock(block, inner), x)
    return doubling ? upsample(doubling, y) : y
  })

/** Every frame and bin twice, smoothed. The first frame stands for one, not two, so one row goes: `[B, T, F, C] → [B, 2T − 1, 2F, C]`. */
function upsample(layer: Convolution, x: tf.Tensor4D): tf.Tensor4D {
  const [, frames, bins] = x.shape
  const repeated = tf.image.resizeNearestNeighbor(x, [2 * frames, 2 * bins])
  return tf.slice(causalConvolution(layer, repeated), [0, 1, 0, 0], [-1, -1, -1, -1])
}
