/**
 * The initial values of every tensor: random, and scaled so that activations keep a standard deviation near 1. Each tensor has its own random source, so
 * none depends on the others.
 */
import { elementCount, float32Bytes, toBfloat16 } from '../../src/formats/dtypes.ts'
import { normals, type Random, randomFor } from '../../src/platform/random.ts'
import type { Layout } from './layout.ts'
import { antiAliasFilter, forwardBasis, inverseBasis, melBasis } from './signal.ts'
import { logMel } from './sizes.ts'
import { replaceValues, type Tensors, valuesOf } from './tensors.ts'

const seed = 23

/** Initializes every tensor of the layout. */
export function initWeights(layout: Layout): Tensors {
  const tensors: Tensors = new Map()
  for (const [name, { dtype, shape }] of layout) {
    const [, initialize] = initializers.find(([pattern]) => pattern.test(name)) ?? []
    if (!initialize) throw new Error(`there is no initializer for ${name}`)
    const values = initialize(shape, randomFor(seed, 'base', name))
    tensors.set(name, { dtype, shape, bytes: dtype === 'F32' ? float32Bytes(values) : toBfloat16(values) })
  }
  return tensors
}

/** Changes the bias of a layer so that it subtracts `level` from all its inputs. */
export function centerInput(tensors: Tensors, layer: string, level: number) {
  const weights = valuesOf(tensors, `${layer}.weight`)
  const bias = valuesOf(tensors, `${layer}.bias`)
  const perOutput = weights.length / bias.length
  const moved = bias.map((value, i) => value - level * sum(weights.subarray(i * perOutput, (i + 1) * perOutput)))
  replaceValues(tensors, `${layer}.bias`, moved)
}

type Initializer = (shape: number[], random: Random) => Float32Array

/** Gains after a SiLU and a GELU, whose outputs have a root mean square of 0.6 and 0.65. */
const [afterSilu, afterGelu] = [1.7, 1.5]

/** The initializers by tensor name. The first match is used. */
const initializers: [RegExp, Initializer][] = [
  // formulas
  [/\.filter$/, () => antiAliasFilter()],
  [/\.forward_basis$/, forwardBasis],
  [/\.inverse_basis$/, inverseBasis],
  [/\.mel_basis$/, melBasis],

  // text encoder; the scale of its norms is 1 + w
  [/^language_model.*norm\.weight$/, constant(0)],
  [/\.embed_tokens\.weight$/, (shape, random) => normal(1 / Math.sqrt(shape[1] as number))(shape, random)],
  [/\.down_proj\.weight$/, scaledNormal(afterGelu)],

  // transformer and connector
  [/_norm\.weight$/, constant(1)],
  [/\.learnable_registers$/, normal(1)],
  [/_blocks\.\d+\.audio_scale_shift_table$/, halfOpenGates],
  [/scale_shift_table$/, normal(0.1)],
  [/\.linear_1\.weight$/, scaledNormal(Math.SQRT2)],
  [/\.linear_2\.weight$/, scaledNormal(0.3 * afterSilu)], // small, because the last norm uses it directly as shift and scale
  [/adaln_single\.linear\.weight$/, scaledNormal(1.3)], // gives modulations of standard deviation 0.2, because the embedding is small
  [/\.net\.2\.weight$/, scaledNormal(afterGelu)],

  // audio VAE; its statistics are calibrated later
  [/\.mean-of-means$/, constant(0)],
  [/\.std-of-means$/, constant(1)],
  [/encoder\.conv_in\.conv\.weight$/, scaledNormal(1 / logMel.deviation)],
  [/encoder\.conv_in\.conv\.bias$/, normal(0.5)], // otherwise the norms after it would remove the level
  [/decoder\.conv_out\.conv\.weight$/, scaledNormal(logMel.deviation * afterSilu)],
  [/decoder\.conv_out\.conv\.bias$/, constant(logMel.mean)],
  [/audio_vae.*\.conv2\.conv\.weight$/, scaledNormal(0.5 * afterSilu)],
  [/audio_vae.*\.(conv1|conv_out)\.conv\.weight$/, scaledNormal(afterSilu)],
  [/audio_vae.*\.bias$/, normal(0.02)],

  // vocoder; without biases, silence decodes to near silence
  [/\.(alpha|beta)$/, constant(0)],
  [/vocoder.*\.bias$/, constant(0)],
  [/\.conv_pre\.weight$/, reducedMean(1 / logMel.deviation)],
  [/\.ups\.\d+\.weight$/, upConvolutionWeight],
  [/\.convs2\.\d+\.weight$/, scaledNormal(0.5)],
  [/\.conv_post\.weight$/, zeroSumTaps],

  [/\.bias$/, normal(0.02)],
  [/\.weight$/, scaledNormal(1)],
]

/** One value for all elements. */
function constant(value: number): Initializer {
  return (shape) => new Float32Array(elementCount(shape)).fill(value)
}

/** Normally distributed with this standard deviation. */
function normal(deviation: number): Initializer {
  return (shape, random) => normals(random, elementCount(shape)).map((value) => value * deviation)
}

/** A matrix or kernel `[out, in, ...]` that maps inputs of standard deviation 1 to outputs of standard deviation `gain`. */
function scaledNormal(gain: number): Initializer {
  return (shape, random) => normal(gain / Math.sqrt(elementCount(shape.slice(1))))(shape, random)
}

/** The kernel `[in, out, taps]` of an up-convolution. At the released rates every output sample depends on two taps. */
function upConvolutionWeight(shape: number[], random: Random) {
  return normal(1 / Math.sqrt(2 * (shape[0] as number)))(shape, random)
}

/** `[9, D]`: rows of shift, scale, gate, shift, …; the gates have mean 0.5. */
function halfOpenGates(shape: number[], random: Random) {
  const width = shape[1] as number
  const isGate = (i: number) => Math.floor(i / width) % 3 === 2
  return normal(0.1)(shape, random).map((value, i) => (isGate(i) ? 0.5 + value : value))
}

/** A kernel `[out, in, taps]` that emphasizes differences between its inputs over their common level. */
function reducedMean(gain: number): Initializer {
  return (shape, random) => subtractMean(scaledNormal(gain)(shape, random), elementCount(shape.slice(1)), 0.8)
}

/** A kernel `[out, in, taps]` whose taps sum to zero, so its output has no DC component. */
function zeroSumTaps(shape: number[], random: Random) {
  return subtractMean(scaledNormal(1)(shape, random), shape[2] as number, 1)
}

/** Subtracts a share of the mean of each group. */
function subtractMean(values: Float32Array, group: number, share: number) {
  const means = Array.from(
    { length: values.length / group },
    (_, g) => sum(values.subarray(g * group, (g + 1) * group)) / group,
  )
  return values.map((value, i) => value - share * (means[Math.floor(i / group)] as number))
}

const sum = (values: Float32Array) => values.reduce((a, b) => a + b, 0)
