/** From captions and prompts to the contexts that the transformer attends to; each distinct text once. */
import type { HostMatrix } from '../engine/host-matrix.ts'
import type { BaseModel } from '../model/base-model.ts'
import { encodeCaptions } from '../model/text/context.ts'
import { textEncoderFingerprint } from '../model/text/fingerprint.ts'
import { type Cache, cacheKey } from './cache.ts'

/** The context `[S, D]` of every text, by the text. The text encoder is only read when one of them is not in the cache. */
export async function encodeTexts(
  base: BaseModel,
  texts: Iterable<string>,
  cache: Cache,
  onProgress?: (done: number, total: number) => void,
): Promise<Map<string, HostMatrix>> {
  const textEncoder = textEncoderFingerprint(base.textEncoder)
  const keyOf = (text: string) => cacheKey('context', base.fingerprint, textEncoder, text)
  const contexts = new Map<string, HostMatrix>()
  const missing: string[] = []
  for (const text of new Set(texts)) {
    const cached = cache.get(keyOf(text))
    if (cached) contexts.set(text, cached)
    else missing.push(text)
  }
  const { audio_connector_num_attention_heads: heads, audio_connector_attention_head_dim: headDim } =
    base.config.transformer
  const encoded = await encodeCaptions(base, missing, onProgress && { onProgress })
  missing.forEach((text, i) => {
    const values = encoded[i] as Float32Array
    const context: HostMatrix = { shape: [values.length / (heads * headDim), heads * headDim], values }
    cache.put(keyOf(text), context)
    contexts.set(text, context)
  })
  return contexts
}
