/** The sizes of the small bases, and the mapping from the released model's sizes to them. */

export type BaseSize = {
  heads: number
  headDim: number
  transformerBlocks: number
  connectorBlocks: number
  registers: number
  vaeWidth: number
  /** A base without a vocoder is heard through phase reconstruction. */
  vocoder?: VocoderSize
  gemma: { hidden: number; layers: number; heads: number; keyValueHeads: number; headDim: number; inner: number }
}

export type VocoderSize = {
  width: number
  bandwidthExtensionWidth: number
  /** The kernel sizes of the residual blocks, from those of the released model. */
  kernels: number[]
}

/** The kernel sizes of the released vocoder's residual blocks. Each stage has a block of each size. */
export const releasedKernels = [3, 7, 11]

const gemma = { hidden: 64, layers: 6, heads: 4, keyValueHeads: 2, headDim: 16, inner: 128 }

/** The base of the tests, with random weights: a training step takes a fraction of a second. Rates and lengths are those of the released model. */
export const tinySize: BaseSize = {
  ...{ heads: 2, headDim: 32, transformerBlocks: 2, connectorBlocks: 1, registers: 128 },
  ...{ vaeWidth: 12, vocoder: { width: 64, bandwidthExtensionWidth: 32, kernels: [3] }, gemma },
}

/** The bundled base, which is trained: as large as fits into 12 MB. The width must exceed that of a latent frame, or velocities cannot be represented. */
export const trainedSize: BaseSize = {
  ...{ heads: 6, headDim: 32, transformerBlocks: 6, connectorBlocks: 1, registers: 128 },
  ...{ vaeWidth: 12, gemma },
}

/** The number of tokens that the tokenizer learns, besides bytes and single characters. */
export const mergeCount = 200

/** The log-mel of silence, and rough statistics of log-mels. */
export const logMel = { silence: Math.log(1e-5), mean: -5, deviation: 2.5 } as const

/** The widths of both models from `released` and `small` down, halved `times` times. */
const halvings = (released: number, small: number, times: number) =>
  Object.fromEntries(Array.from({ length: times + 1 }, (_, i) => [released / 2 ** i, small / 2 ** i]))

type SizeMapping = [prefix: string, sizes: Record<number, number>]

/** The first entry whose prefix matches a tensor's name is used. Other axes keep their size. */
export function sizeMappings(size: BaseSize): SizeMapping[] {
  const width = size.heads * size.headDim
  return [
    ['model.diffusion_model.', { 2048: width, 4096: 2 * width, 8192: 4 * width, 18432: 9 * width, 32: size.heads }],
    ['text_embedding_projection.', { 2048: width, 188160: size.gemma.hidden * (size.gemma.layers + 1) }],
    ['audio_vae.per_channel_statistics.', {}],
    ['audio_vae.', halvings(512, 4 * size.vaeWidth, 2)],
    ...(size.vocoder ? vocoderMappings(size.vocoder) : []),
  ]
}

const vocoderMappings = ({ width, bandwidthExtensionWidth }: VocoderSize): SizeMapping[] => [
  ['vocoder.vocoder.conv_pre.', { 1536: width }],
  ['vocoder.vocoder.', halvings(1536, width, 6)],
  ['vocoder.bwe_generator.conv_pre.', { 512: bandwidthExtensionWidth }],
  ['vocoder.bwe_generator.', halvings(512, bandwidthExtensionWidth, 5)],
]
