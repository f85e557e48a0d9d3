/** Every size of a small base, and what the released model's sizes become in it. */

export type BaseSize = {
  heads: number
  headDim: number
  transformerBlocks: number
  connectorBlocks: number
  registers: number
  vaeWidth: number
  vocoderWidth: number
  bandwidthExtensionWidth: number
  gemma: { hidden: number; layers: number; heads: number; keyValueHeads: number; headDim: number; inner: number }
}

const gemma = { hidden: 64, layers: 6, heads: 4, keyValueHeads: 2, headDim: 16, inner: 128 }

/** Random, for tests: a training step in a fraction of a second on two cores. Rates, kernels and lengths stay as released, here and below. */
export const tinySize: BaseSize = {
  ...{ heads: 4, headDim: 16, transformerBlocks: 4, connectorBlocks: 2, registers: 128 },
  ...{ vaeWidth: 12, vocoderWidth: 64, bandwidthExtensionWidth: 32, gemma },
}

/** Trained, for the demo: as much as fits into 12 MB. The residual stream must be wider than a latent frame, or no velocity passes. */
export const learnedSize: BaseSize = {
  ...{ heads: 6, headDim: 32, transformerBlocks: 4, connectorBlocks: 1, registers: 128 },
  ...{ vaeWidth: 12, vocoderWidth: 128, bandwidthExtensionWidth: 32, gemma },
}

/** Tokens that the tokenizer learns beyond bytes and single characters. */
export const merges = 200

/** How large log-mels are: of silence, and roughly of everything else. */
export const logMel = { silence: Math.log(1e-5), mean: -5, deviation: 2.5 } as const

const halvings = (released: number, ours: number, times: number) =>
  Object.fromEntries(Array.from({ length: times + 1 }, (_, i) => [released / 2 ** i, ours / 2 ** i]))

/** By the beginning of a tensor's name, the first that fits; axes of any other size stay as they are. */
export function shrunk(size: BaseSize): [prefix: string, sizes: Record<number, number>][] {
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
