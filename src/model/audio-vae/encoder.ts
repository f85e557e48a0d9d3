/** The encoder half of the audio autoencoder (spec §3.2): levels of residual blocks, each but the last followed by a halving of time and bins. */
import * as tf from '@tensorflow/tfjs'
import type { Weights } from '../../checkpoint/weights.ts'
import type { AudioVaeConfig } from '../config.ts'
import { type Convolution, causalConvolution, halvingConvolution, loadConvolution } from './convolution.ts'
import { activated, loadResBlock, type ResBlock, resBlock } from './res-block.ts'

export type Encoder = { input: Convolution; levels: EncoderLevel[]; middle: ResBlock[]; output: Convolution }
type EncoderLevel = { blocks: ResBlock[]; halving?: Convolution }

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
  return causalConvolution(output, activated(deep))
}

const encodeLevel = (x: tf.Tensor4D, { blocks, halving }: EncoderLevel): tf.Tensor4D =>
  tf.tidy(() => {
    const y = blocks.reduce((inner, block) => resBlock(block, inner), x)
    return halving ? halvingConvolution(halving, y) : y
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
