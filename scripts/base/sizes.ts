/** The sizes of the small bases, and the mapping from the released model's sizes to them. */

export type BaseSize = {
  heads: number
  headDim: number
  transformerBlocks: number
  connectorBlocks: number
  registers: number
  vaeWidth: number
  vocoderWidth: number
  bandwidthExtensionWidth: number
  /** The kernel sizes of the vocoder's residual blocks, from those of the released model. */
  vocoderKernels: number[]
  gemma: { hidden: number; layers: number; heads: number; keyValueHeads: number; headDim: number; inner: number }
}

/** The kernel sizes of the released vocoder's residual blocks. Each stage has a block of each size. */
export const releasedKernels = [3, 7, 11]

const gemma = { hidden: 64, layers: 6, heads: 4, keyValueHeads: 2, headDim: 16, inner: 128 }

/** The base of the tests, with random weights: a training step takes a fraction of a second. Rates and lengths are those of the released model. */
export const tinySize: BaseSize = {
  ...{ heads: 2, headDim: 32, transformerBlocks: 2, connectorBlocks: 1, registers: 128 },
  ...{ vaeWidth: 12, vocoderWidth: 64, bandwidthExtensionWidth: 32, vocoderKernels: [3], gemma },
}

/** The bundled base, which is trained: as large as fits into 12 MB. The width must exceed that of a latent frame, or velocities cannot be represented. */
export const trainedSize: BaseSize = {
  ...{ heads: 6, headDim: 32, transformerBlocks: 4, connectorBlocks: 1, registers: 128 },
  ...{ vaeWidth: 12, vocoderWidth: 128, bandwidthExtensionWidth: 32, vocoderKernels: releasedKernels, gemma },
}

/** The number of tokens that the tokenizer learns, besides bytes and single characters. */
export const mergeCount = 200

/** The log-mel of silence, and rough statistics of log-mels. */
export const logMel = { silence: Math.log(1e-5), mean: -5, deviation: 2.5 } as const

/** The widths of both models from `released` and `small` down, halved `times` times. */
const halvings = (released: number, small: number, times: number) =>
  Object.fromEntries(Array.from({ length: times + 1 }, (_, i) => [released / 2 ** i, small / 2 ** i]))

/** The first entry whose prefix matches a tensor's name is used. Other axes keep their size. */
export function sizeMappings(size: BaseSize): [prefix: string, sizes: Record<number, number>][] {
  const width = size.heads * size.headDim
  return [
    ['model.diffusion_model.', { 2048: width, 4096: 2 * width, 8192: 4 * width, 18432: 9 * width, 32: size.heads }],
    ['text_embedding_projection.', { 2048: width, 188160: size.gemma.hidden * (size.gemma.layers + 1) }],
    ['audio_vae.per_channel_statistics.', {}],
    ['audio_vae.', halvings(512, 4 * size.vaeWidth, 2)],
    ['vocoder.vocoder.conv_pre.', { 1536: size.vocoderWidth }],
    ['vocoder.vocoder.', halvings(1536, size.vocoderWidth, 6)],
    ['vocoder.bwe_generator.conv_pre.', { 512: size.bandwidthExtensionWidth }],
    ['vocoder.bwe_generator.', halvings(512, size.bandwidthExtensionWidth, 5)],
  ]
}
