/**
 * The first values of every tensor: random, but so scaled that signals keep a size near 1 on their way. Each tensor has its own random source,
 * so none depends on the others.
 */
import { elementCount, float32Bytes, toBfloat16 } from '../../src/formats/dtypes.ts'
import { normals, type Random, randomFor } from '../../src/platform/random.ts'
import type { Layout } from './layout.ts'
import { antiAliasFilter, forwardBasis, inverseBasis, melBasis } from './signal.ts'
import { logMel } from './sizes.ts'
import { replaceValues, type Tensors, valuesOf } from './tensors.ts'

const seed = 23

/** The layout filled by the rules below. */
export function drawWeights(layout: Layout): Tensors {
  const drawn: Tensors = new Map()
  for (const [name, { dtype, shape }] of layout) {
    const [, draw] = rules.find(([pattern]) => pattern.test(name)) ?? []
    if (!draw) throw new Error(`no rule says how ${name} begins`)
    const values = draw(shape, randomFor(seed, 'base', name))
    drawn.set(name, { dtype, shape, bytes: dtype === 'F32' ? float32Bytes(values) : toBfloat16(values) })
  }
  return drawn
}

/** Moves a layer's bias so that an input which is `level` everywhere counts as zero. */
export function centreInput(tensors: Tensors, layer: string, level: number) {
  const weights = valuesOf(tensors, `${layer}.weight`)
  const bias = valuesOf(tensors, `${layer}.bias`)
  const perOutput = weights.length / bias.length
  const moved = bias.map((value, i) => value - level * sum(weights.subarray(i * perOutput, (i + 1) * perOutput)))
  replaceValues(tensors, `${layer}.bias`, moved)
}

type Draw = (shape: number[], random: Random) => Float32Array

/** What follows a SiLU or a GELU makes up for what they take: their outputs have a root mean square of 0.6 and 0.65. */
const [afterSilu, afterGelu] = [1.7, 1.5]

/** How a tensor begins, by its name; the first rule that fits. */
const rules: [RegExp, Draw][] = [
  // formulas
  [/\.filter$/, () => antiAliasFilter()],
  [/\.forward_basis$/, forwardBasis],
  [/\.inverse_basis$/, inverseBasis],
  [/\.mel_basis$/, melBasis],

  // text encoder, whose norms store what their gain exceeds 1 by
  [/^language_model.*norm\.weight$/, all(0)],
  [/\.embed_tokens\.weight$/, (shape, random) => spread(1 / Math.sqrt(shape[1] as number))(shape, random)],
  [/\.down_proj\.weight$/, weight(afterGelu)],

  // transformer and connector
  [/_norm\.weight$/, all(1)],
  [/\.learnable_registers$/, spread(1)],
  [/_blocks\.\d+\.audio_scale_shift_table$/, halfOpenGates],
  [/scale_shift_table$/, spread(0.1)],
  [/\.linear_1\.weight$/, weight(Math.SQRT2)],
  [/\.linear_2\.weight$/, weight(0.3 * afterSilu)], // small, because the last norm is shifted and scaled by it as it is
  [/adaln_single\.linear\.weight$/, weight(1.3)], // of so small an embedding, modulations of deviation 0.2
  [/\.net\.2\.weight$/, weight(afterGelu)],

  // audio VAE; its statistics are measured later
  [/\.mean-of-means$/, all(0)],
  [/\.std-of-means$/, all(1)],
  [/encoder\.conv_in\.conv\.weight$/, weight(1 / logMel.deviation)],
  [/encoder\.conv_in\.conv\.bias$/, spread(0.5)], // or the norms behind it would not know loud from soft
  [/decoder\.conv_out\.conv\.weight$/, weight(logMel.deviation * afterSilu)],
  [/decoder\.conv_out\.conv\.bias$/, all(logMel.mean)],
  [/audio_vae.*\.conv2\.conv\.weight$/, weight(0.5 * afterSilu)],
  [/audio_vae.*\.(conv1|conv_out)\.conv\.weight$/, weight(afterSilu)],
  [/audio_vae.*\.bias$/, spread(0.02)],

  // vocoder; without biases, silence in is little more than silence out
  [/\.(alpha|beta)$/, all(0)],
  [/vocoder.*\.bias$/, all(0)],
  [/\.conv_pre\.weight$/, contrast(1 / logMel.deviation)],
  [/\.ups\.\d+\.weight$/, upWeight],
  [/\.convs2\.\d+\.weight$/, weight(0.5)],
  [/\.conv_post\.weight$/, constantFree],

  [/\.bias$/, spread(0.02)],
  [/\.weight$/, weight(1)],
]

/** The same value everywhere. */
function all(value: number): Draw {
  return (shape) => new Float32Array(elementCount(shape)).fill(value)
}

/** Normal, with this deviation. */
function spread(deviation: number): Draw {
  return (shape, random) => normals(random, elementCount(shape)).map((value) => value * deviation)
}

/** A matrix or kernel `[out, in, ...]` that turns inputs of deviation 1 into outputs of deviation `gain`. */
function weight(gain: number): Draw {
  return (shape, random) => spread(gain / Math.sqrt(elementCount(shape.slice(1))))(shape, random)
}

/** A kernel `[in, out, taps]` that makes several samples of one; at the released rates each of them meets two taps. */
function upWeight(shape: number[], random: Random) {
  return spread(1 / Math.sqrt(2 * (shape[0] as number)))(shape, random)
}

/** Rows of shift, scale, gate, shift, … `[9, D]`. */
function halfOpenGates(shape: number[], random: Random) {
  const width = shape[1] as number
  const isGate = (i: number) => Math.floor(i / width) % 3 === 2
  return spread(0.1)(shape, random).map((value, i) => (isGate(i) ? 0.5 + value : value))
}

/** A kernel `[out, in, taps]` that hears differences between its inputs better than their level, which all frames of a sound share. */
function contrast(gain: number): Draw {
  return (shape, random) => withoutMean(weight(gain)(shape, random), elementCount(shape.slice(1)), 0.8)
}

/** A kernel `[out, in, taps]` whose taps add up to zero: what it makes has no constant part. */
function constantFree(shape: number[], random: Random) {
  return withoutMean(weight(1)(shape, random), shape[2] as number, 1)
}

/** Takes from each value this share of the mean of its group. */
function withoutMean(values: Float32Array, group: number, share: number) {
  const means = Array.from(
    { length: values.length / group },
    (_, g) => sum(values.subarray(g * group, (g + 1) * group)) / group,
  )
  return values.map((value, i) => value - share * (means[Math.floor(i / group)] as number))
}

const sum = (values: Float32Array) => values.reduce((a, b) => a + b, 0)
