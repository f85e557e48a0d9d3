/** The text path (reference §5): captions → token ids → hidden states → features → the contexts that the transformer attends to. */
import { basename } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import * as tf from '@tensorflow/tfjs'
import type { Safetensors } from '../../formats/safetensors.ts'
import { UserError, withParameter } from '../../platform/errors.ts'
import { ltxComponents } from '../checkpoint-layout.ts'
import type { ModelConfig } from '../config.ts'
import { extractFeatures, loadConnector, loadFeatureExtractor, runConnector } from './connector.ts'
import { hiddenStates } from './gemma.ts'
import { openTextEncoder, type TextEncoder } from './text-encoder.ts'
import { loadTokenizer } from './tokenizer.ts'

/** `textEncoder` is the folder or the packed file of a text encoder. */
export type TextModel = { checkpoint: Safetensors; config: ModelConfig; textEncoder: string }

export type EncodeCaptionsOptions = {
  /** Called after each layer of the text encoder, and after each caption in the connector. */
  onProgress?: (done: number, total: number) => void
}

/**
 * The context of each caption, `[contextLength, D]`. Every layer of the text encoder is read once and applied to all captions, so pass all captions
 * together, without duplicates. No tensor stays in memory afterwards.
 * @throws UserError when the text encoder is missing, broken, or does not match the checkpoint.
 */
export async function encodeCaptions(
  model: TextModel,
  captions: readonly string[],
  { onProgress = () => {} }: EncodeCaptionsOptions = {},
): Promise<Float32Array[]> {
  if (captions.length === 0) return []
  const encoder = openTextEncoder(model.textEncoder)
  try {
    const ids = captions.map(loadTokenizer(encoder))
    const layers = encoder.config.layers.length
    const features = await captionFeatures(model, encoder, ids, (layer) => onProgress(layer, layers + ids.length))
    return await captionContexts(model, features, (caption) => onProgress(layers + caption, layers + ids.length))
  } finally {
    encoder.close()
  }
}

/** The features of each caption, `[S, D]`. */
async function captionFeatures(
  { checkpoint, config }: TextModel,
  encoder: TextEncoder,
  ids: number[][],
  onLayer: (done: number) => void,
): Promise<tf.Tensor2D[]> {
  const { audio_connector_num_attention_heads: heads, audio_connector_attention_head_dim: headDim } = config.transformer
  requireSameWidth(encoder, checkpoint, config.transformer.caption_channels)
  const { textProjection } = ltxComponents(checkpoint)
  const extractor = withParameter('model', () =>
    loadFeatureExtractor(textProjection, encoder.config.hiddenSize, heads * headDim),
  )
  try {
    requireSameDepth(encoder, checkpoint, extractor.stateCount)
    return await extractFeatures(extractor, hiddenStates(encoder, ids), (state) => state > 0 && onLayer(state))
  } finally {
    extractor.bias.dispose()
  }
}

/** The context of each caption. Disposes of the features. */
async function captionContexts(
  { checkpoint, config, textEncoder }: TextModel,
  features: tf.Tensor2D[],
  onCaption: (done: number) => void,
): Promise<Float32Array[]> {
  const connector = withParameter('model', () => loadConnector(ltxComponents(checkpoint).connector, config.transformer))
  const contexts: Float32Array[] = []
  try {
    for (const caption of features) {
      const context = tf.tidy(() => runConnector(connector, caption))
      const values = (await context.data()) as Float32Array
      context.dispose()
      if (!values.every(Number.isFinite))
        throw new UserError(`the text encoder ${basename(textEncoder)} computes values that are not finite`, {
          hint: 'the file is damaged: download it again; with numbers of 16 bits, try LTX_A2A_PRECISION=float32',
        })
      contexts.push(values)
      onCaption(contexts.length)
      await setImmediate()
    }
    return contexts
  } finally {
    tf.dispose([connector, features])
  }
}

const hint =
  'LTX-2.3 needs the text encoder Gemma 3 12B, LTX-2.5 its own packed Gemma 4 12B; a small base needs the text encoder that comes with it'

function requireSameWidth({ path, config }: TextEncoder, checkpoint: Safetensors, captionChannels: number) {
  if (config.hiddenSize === captionChannels) return
  throw new UserError(
    `the text encoder ${basename(path)} has the width ${config.hiddenSize}, but ${basename(checkpoint.path)} needs ${captionChannels}`,
    { hint },
  )
}

function requireSameDepth({ path, config }: TextEncoder, checkpoint: Safetensors, stateCount: number) {
  if (config.layers.length + 1 === stateCount) return
  throw new UserError(
    `the text encoder ${basename(path)} has ${config.layers.length} layers, but ${basename(checkpoint.path)} needs ${stateCount - 1}`,
    { hint },
  )
}
