/** The decoder half of the audio autoencoder (spec §3.3). Its levels are stored finest first and run coarsest first. */
import * as tf from '@tensorflow/tfjs'
import type { Weights } from '../../checkpoint/weights.ts'
import type { AudioVaeConfig } from '../config.ts'
import { type Convolution, causalConvolution, loadConvolution } from './convolution.ts'
import { activated, loadResBlock, type ResBlock, resBlock } from './res-block.ts'

/** `levels` in the order in which they run. */
export type Decoder = { input: Convolution; middle: ResBlock[]; levels: DecoderLevel[]; output: Convolution }
type DecoderLevel = { blocks: ResBlock[]; doubling?: Convolution }

type Sizes = AudioVaeConfig['model']['params']['ddconfig']

export function loadDecoder(weights: Weights, sizes: Sizes): Decoder {
  const widths = sizes.ch_mult.map((factor) => sizes.ch * factor)
  const deepest = widths.at(-1) as number
  const loadLevel = (width: number, i: number): DecoderLevel => ({
    blocks: Array.from({ length: sizes.num_res_blocks + 1 }, (_, j) =>
      loadResBlock(weights.at(`up.${i}.block.${j}`), j === 0 ? (widths[i + 1] ?? width) : width, width),
    ),
    ...(i > 0 && {
      doubling: loadConvolution(weights.at(`up.${i}.upsample.conv.conv`), { inputs: width, outputs: width }),
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
  return causalConvolution(output, activated(fine))
}

const decodeLevel = (x: tf.Tensor4D, { blocks, doubling }: DecoderLevel): tf.Tensor4D =>
  tf.tidy(() => {
    const y = blocks.reduce((inner, block) => resBlock(block, inner), x)
    return doubling ? doubled(doubling, y) : y
  })

/** Every frame and bin twice, smoothed. The first frame stands for one, not two, so one row goes: `[B, T, F, C] → [B, 2T − 1, 2F, C]`. */
function doubled(layer: Convolution, x: tf.Tensor4D): tf.Tensor4D {
  const [, frames, bins] = x.shape
  const repeated = tf.image.resizeNearestNeighbor(x, [2 * frames, 2 * bins])
  return tf.slice(causalConvolution(layer, repeated), [0, 1, 0, 0], [-1, -1, -1, -1])
}
