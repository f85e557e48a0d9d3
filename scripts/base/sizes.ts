/** Every size of the bundled base, and what the released model's sizes become in it. */

/** Small enough for a training step in a fraction of a second on two cores; rates, kernels and lengths stay as released. */
export const size = {
  heads: 4,
  headDim: 16,
  transformerBlocks: 4,
  connectorBlocks: 2,
  registers: 128,
  vaeWidth: 12,
  vocoderWidth: 64,
  bandwidthExtensionWidth: 32,
  gemma: { hidden: 64, layers: 6, heads: 4, keyValueHeads: 2, headDim: 16, inner: 128 },
  /** Tokens that the tokenizer learns beyond bytes and single characters. */
  merges: 200,
} as const

/** How large log-mels are: of silence, and roughly of everything else. */
export const logMel = { silence: Math.log(1e-5), mean: -5, deviation: 2.5 } as const

const width = size.heads * size.headDim
const halvings = (released: number, ours: number, times: number) =>
  Object.fromEntries(Array.from({ length: times + 1 }, (_, i) => [released / 2 ** i, ours / 2 ** i]))

/** By the beginning of a tensor's name, the first that fits; axes of any other size stay as they are. */
export const shrunk: [prefix: string, sizes: Record<number, number>][] = [
  ['model.diffusion_model.', { 2048: width, 4096: 2 * width, 8192: 4 * width, 18432: 9 * width, 32: size.heads }],
  ['text_embedding_projection.', { 2048: width, 188160: size.gemma.hidden * (size.gemma.layers + 1) }],
  ['audio_vae.per_channel_statistics.', {}],
  ['audio_vae.', halvings(512, 4 * size.vaeWidth, 2)],
  ['vocoder.vocoder.conv_pre.', { 1536: size.vocoderWidth }],
  ['vocoder.vocoder.', halvings(1536, size.vocoderWidth, 6)],
  ['vocoder.bwe_generator.conv_pre.', { 512: size.bandwidthExtensionWidth }],
  ['vocoder.bwe_generator.', halvings(512, size.bandwidthExtensionWidth, 5)],
]
