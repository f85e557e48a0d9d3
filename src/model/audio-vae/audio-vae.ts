/**
 * The audio VAE (reference §3). The encoder compresses a log-mel to latents with a quarter of its frames and bins; the decoder turns latents back
 * into a log-mel. The public functions take mels as `[B, 2, M, 64]` and latents as `[B, 8, T, 16]`, like files and the reference implementation.
 * Inside, everything is channels-last, `[B, time, bins, C]`, because TensorFlow.js convolves in that layout only. Convolutions are causal in time: all
 * padding is before the first frame, so no output depends on later frames (reference §3.1).
 */
import * as tf from '@tensorflow/tfjs'
import { rmsNormSilu } from '../../engine/activations.ts'
import { conv2d } from '../../engine/convolution.ts'
import { constant, transposedConstant } from '../../engine/device-tensors.ts'
import { withParameter } from '../../platform/errors.ts'
import type { AudioVaeConfig } from '../config.ts'
import type { Weights } from '../weights.ts'
import { denormalizeLatents, type LatentStatistics, loadStatistics, normalizeLatents } from './latents.ts'

export type AudioVae = { encoder?: Encoder; decoder?: Decoder; statistics: LatentStatistics }

/** Which parts to load. Training needs only the encoder; a preview without a reference clip needs only the decoder. */
export type AudioVaeParts = { encoder?: boolean; decoder?: boolean }

/**
 * @param weights the component's weights: `weightsOf(file, 'audio_vae.')`.
 * @throws UserError when a tensor is missing or its shape does not match the config.
 */
export function loadAudioVae(
  weights: Weights,
  config: AudioVaeConfig,
  { encoder = true, decoder = true }: AudioVaeParts = {},
): AudioVae {
  const sizes = config.model.params.ddconfig
  return withParameter('model', () => ({
    ...(encoder && { encoder: loadEncoder(weights.at('encoder'), sizes) }),
    ...(decoder && { decoder: loadDecoder(weights.at('decoder'), sizes) }),
    statistics: loadStatistics(weights.at('per_channel_statistics'), sizes),
  }))
}

/**
 * The normalized latents of a log-mel, `[B, 2, M, 64] → [B, 8, T, 16]` with `T = ceil(M / 4)`. They are the means of the predicted distribution:
 * nothing is sampled.
 */
export function encodeMel(vae: AudioVae, mel: tf.Tensor4D): tf.Tensor4D {
  const encoder = requirePart(vae, 'encoder')
  return tf.tidy(() => toChannelsFirst(normalizeLatents(vae.statistics, encode(encoder, toChannelsLast(mel)))))
}

/** The log-mel of normalized latents: `[B, 8, T, 16] → [B, 2, 4T − 3, 64]`. */
export function decodeLatents(vae: AudioVae, latents: tf.Tensor4D): tf.Tensor4D {
  const decoder = requirePart(vae, 'decoder')
  return tf.tidy(() => toChannelsFirst(decode(decoder, denormalizeLatents(vae.statistics, toChannelsLast(latents)))))
}

/** @throws Error when the VAE was loaded without this part. */
export function requirePart<Part extends 'encoder' | 'decoder'>(
  vae: AudioVae,
  part: Part,
): NonNullable<AudioVae[Part]> {
  const loaded = vae[part]
  if (!loaded) throw new Error(`this audio VAE was loaded without its ${part}`)
  return loaded
}

export const disposeAudioVae = (vae: AudioVae) => tf.dispose(vae)

const toChannelsLast = (x: tf.Tensor4D): tf.Tensor4D => tf.transpose(x, [0, 2, 3, 1])
const toChannelsFirst = (x: tf.Tensor4D): tf.Tensor4D => tf.transpose(x, [0, 3, 1, 2])

type Sizes = AudioVaeConfig['model']['params']['ddconfig']

/** Levels of residual blocks; all but the last end with a downsampling convolution (reference §3.2). */
export type Encoder = { input: Convolution; levels: EncoderLevel[]; middle: ResBlock[]; output: Convolution }
type EncoderLevel = { blocks: ResBlock[]; downsample?: Convolution }

function loadEncoder(weights: Weights, sizes: Sizes): Encoder {
  const widths = sizes.ch_mult.map((factor) => sizes.ch * factor)
  const deepest = widths.at(-1) as number
  return {
    input: loadConvolution(weights.at('conv_in.conv'), { inputs: sizes.in_channels, outputs: sizes.ch }),
    levels: widths.map((width, i) => ({
      blocks: Array.from({ length: sizes.num_res_blocks }, (_, j) =>
        loadResBlock(weights.at(`down.${i}.block.${j}`), j === 0 ? (widths[i - 1] ?? sizes.ch) : width, width),
      ),
      ...(i < widths.length - 1 && {
        downsample: loadConvolution(weights.at(`down.${i}.downsample.conv`), { inputs: width, outputs: width }),
      }),
    })),
    middle: [1, 2].map((i) => loadResBlock(weights.at(`mid.block_${i}`), deepest, deepest)),
    output: loadMeanHead(weights.at('conv_out.conv'), deepest, sizes),
  }
}

/** The output layer also predicts log-variances for sampling. Neither training nor inference uses them, so those channels are dropped. */
function loadMeanHead(weights: Weights, inputs: number, sizes: Sizes): Convolution {
  const means = sizes.z_channels
  const head = loadConvolution(weights, { inputs, outputs: sizes.double_z ? 2 * means : means })
  if (!sizes.double_z) return head
  const kernel = tf.keep(tf.slice(head.kernel, [0, 0, 0, 0], [-1, -1, -1, means]))
  const bias = tf.keep(tf.slice(head.bias, 0, means))
  tf.dispose(head)
  return { kernel, bias }
}

/** `[B, M, melBins, 2] → [B, T, F, C]`: the means of the latents, not yet normalized. */
export function encode({ input, levels, middle, output }: Encoder, mel: tf.Tensor4D): tf.Tensor4D {
  const downsampled = levels.reduce(encodeLevel, causalConvolution(input, mel))
  const deep = middle.reduce((x, block) => resBlock(block, x), downsampled)
  return causalConvolution(output, pixelNormSilu(deep))
}

const encodeLevel = (x: tf.Tensor4D, { blocks, downsample: convolution }: EncoderLevel): tf.Tensor4D =>
  tf.tidy(() => {
    const y = blocks.reduce((inner, block) => resBlock(block, inner), x)
    return convolution ? downsample(convolution, y) : y
  })

/** The mirror image of the encoder (reference §3.3). The checkpoint stores the levels finest first; `levels` holds them in the order they run. */
export type Decoder = { input: Convolution; middle: ResBlock[]; levels: DecoderLevel[]; output: Convolution }
type DecoderLevel = { blocks: ResBlock[]; upsample?: Convolution }

function loadDecoder(weights: Weights, sizes: Sizes): Decoder {
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

/** `[B, T, F, C] → [B, 4T − 3, melBins, 2]`, from latents that are not normalized. */
export function decode({ input, middle, levels, output }: Decoder, latents: tf.Tensor4D): tf.Tensor4D {
  const deep = middle.reduce((x, block) => resBlock(block, x), causalConvolution(input, latents))
  const upsampled = levels.reduce(decodeLevel, deep)
  return causalConvolution(output, pixelNormSilu(upsampled))
}

const decodeLevel = (x: tf.Tensor4D, { blocks, upsample: convolution }: DecoderLevel): tf.Tensor4D =>
  tf.tidy(() => {
    const y = blocks.reduce((inner, block) => resBlock(block, inner), x)
    return convolution ? upsample(convolution, y) : y
  })

/** The kernel is `[time, bins, in, out]`. */
export type Convolution = { kernel: tf.Tensor4D; bias: tf.Tensor1D }

export type ConvolutionSize = { inputs: number; outputs: number; size?: 1 | 3 }

/** The checkpoint stores the kernel as `[out, in, time, bins]`. */
export function loadConvolution(weights: Weights, { inputs, outputs, size = 3 }: ConvolutionSize): Convolution {
  return {
    kernel: transposedConstant(weights.read('weight', [outputs, inputs, size, size]), [2, 3, 1, 0]),
    bias: constant(weights.read('bias', [outputs])),
  }
}

/** Keeps the number of frames and bins: `[B, T, F, in] → [B, T, F, out]`. @param residual is added. */
function causalConvolution({ kernel, bias }: Convolution, x: tf.Tensor4D, residual?: tf.Tensor4D): tf.Tensor4D {
  const [timeTaps, binTaps] = kernel.shape
  const side = (binTaps - 1) / 2
  return conv2d(x, kernel, {
    bias,
    residual,
    padding: [
      [timeTaps - 1, 0],
      [side, side],
    ],
  })
}

/** Halves both resolutions, rounded up, with stride 2. Bins are padded on the right only: `[B, T, F, C] → [B, ceil(T / 2), ceil(F / 2), C]`. */
export const downsample = ({ kernel, bias }: Convolution, x: tf.Tensor4D): tf.Tensor4D =>
  conv2d(x, kernel, {
    bias,
    padding: [
      [2, 0],
      [0, 1],
    ],
    stride: 2,
  })

/**
 * Repeats every frame and bin, then convolves. The first frame then stands for a single frame instead of two, so the first row is dropped:
 * `[B, T, F, C] → [B, 2T − 1, 2F, C]`.
 */
export function upsample(layer: Convolution, x: tf.Tensor4D): tf.Tensor4D {
  const [, frames, bins] = x.shape
  const repeated = tf.image.resizeNearestNeighbor(x, [2 * frames, 2 * bins])
  return tf.slice(causalConvolution(layer, repeated), [0, 1, 0, 0], [-1, -1, -1, -1])
}

/** Two convolutions with a residual connection; a 1×1 convolution on it where the width changes. */
type ResBlock = { first: Convolution; second: Convolution; shortcut?: Convolution }

function loadResBlock(weights: Weights, inputs: number, outputs: number): ResBlock {
  return {
    first: loadConvolution(weights.at('conv1.conv'), { inputs, outputs }),
    second: loadConvolution(weights.at('conv2.conv'), { inputs: outputs, outputs }),
    ...(inputs !== outputs && {
      shortcut: loadConvolution(weights.at('nin_shortcut.conv'), { inputs, outputs, size: 1 }),
    }),
  }
}

/** `[B, T, F, in] → [B, T, F, out]`. */
const resBlock = ({ first, second, shortcut }: ResBlock, x: tf.Tensor4D): tf.Tensor4D =>
  tf.tidy(() => {
    const hidden = causalConvolution(first, pixelNormSilu(x))
    return causalConvolution(second, pixelNormSilu(hidden), shortcut ? causalConvolution(shortcut, x) : x)
  })

/** SiLU(PixelNorm(x)). PixelNorm is an RMS norm over the channels of each frame and bin. */
const pixelNormSilu = rmsNormSilu<tf.Tensor4D>
