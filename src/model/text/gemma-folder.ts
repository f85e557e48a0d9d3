/** The folder of a text encoder, a Gemma 3 download: the sizes of its text tower (reference §5.3), its JSON files and its fingerprint. */
import { createHash } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { fingerprint } from '../../formats/safetensors.ts'
import { openShards } from '../../formats/shards.ts'
import { UserError } from '../../platform/errors.ts'
import { parseJson } from '../../platform/json.ts'

/** Sliding layers attend to the last tokens only, full layers to all earlier ones. Each kind has its own rotary positions. */
export type LayerKind = 'sliding_attention' | 'full_attention'

export type GemmaConfig = {
  hiddenSize: number
  /** One entry per layer. */
  layers: LayerKind[]
  heads: number
  keyValueHeads: number
  headDim: number
  normEpsilon: number
  /** The factor of query · key. */
  scoreScale: number
  slidingWindow: number
  /** Positions are divided by `factor`. */
  rope: Record<LayerKind, { theta: number; factor: number }>
}

/** @throws UserError when the folder has no config.json or it does not describe a Gemma 3. */
export function readGemmaConfig(folder: string): GemmaConfig {
  const whole = readFolderJson(folder, 'config.json') as { text_config?: unknown }
  const parsed = schema.safeParse(whole.text_config ?? whole)
  if (parsed.success) return toGemmaConfig(parsed.data)
  const [issue] = parsed.error.issues
  throw new UserError(
    `config.json in ${folder} does not describe a Gemma 3 text encoder: ${issue?.path.join('.')}: ${issue?.message}`,
    { hint: 'LTX-2.3 needs the text encoder Gemma 3 12B' },
  )
}

const count = z.number().int().positive()
const kind = z.enum(['sliding_attention', 'full_attention'])
const ropeParameters = z.object({ rope_theta: z.number().positive(), factor: z.number().positive().default(1) })

/** The defaults are those of the format: published configs omit values that equal them. */
const schema = z.object({
  model_type: z.enum(['gemma3_text', 'gemma3']),
  hidden_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: count,
  sliding_window: count,
  head_dim: count.default(256),
  rms_norm_eps: z.number().positive().default(1e-6),
  query_pre_attn_scalar: z.number().positive().default(256),
  layer_types: z.array(kind).nullish(),
  sliding_window_pattern: count.default(6),
  rope_theta: z.number().positive().default(1e6),
  rope_local_base_freq: z.number().positive().default(1e4),
  rope_scaling: z.object({ rope_type: z.literal('linear'), factor: z.number().positive() }).nullish(),
  rope_parameters: z.object({ sliding_attention: ropeParameters, full_attention: ropeParameters }).nullish(),
  hidden_activation: z.literal('gelu_pytorch_tanh').default('gelu_pytorch_tanh'),
  attention_bias: z.literal(false).default(false),
  attn_logit_softcapping: z.null().default(null),
})

/** Newer configs list the kind of every layer and the rope of every kind; older ones have a pattern and two base frequencies. */
function toGemmaConfig(config: z.infer<typeof schema>): GemmaConfig {
  const { sliding_attention: sliding, full_attention: full } = config.rope_parameters ?? {
    sliding_attention: { rope_theta: config.rope_local_base_freq, factor: 1 },
    full_attention: { rope_theta: config.rope_theta, factor: config.rope_scaling?.factor ?? 1 },
  }
  const byPattern = (_: unknown, layer: number) =>
    (layer + 1) % config.sliding_window_pattern === 0 ? 'full_attention' : 'sliding_attention'
  return {
    hiddenSize: config.hidden_size,
    layers: config.layer_types ?? Array.from({ length: config.num_hidden_layers }, byPattern),
    heads: config.num_attention_heads,
    keyValueHeads: config.num_key_value_heads,
    headDim: config.head_dim,
    normEpsilon: config.rms_norm_eps,
    scoreScale: config.query_pre_attn_scalar ** -0.5,
    slidingWindow: config.sliding_window,
    rope: {
      sliding_attention: { theta: sliding.rope_theta, factor: sliding.factor },
      full_attention: { theta: full.rope_theta, factor: full.factor },
    },
  }
}

const hint =
  'pass the folder of a Gemma 3 download, with config.json, tokenizer.json, tokenizer_config.json and model*.safetensors'

/** Reads a JSON file of the folder. @throws UserError when the folder or the file is missing, or is not JSON. */
export function readFolderJson(folder: string, file: string): unknown {
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory())
    throw new UserError(`the text encoder ${folder} is not a folder`, { hint })
  const invalid = (cause: unknown) =>
    new UserError(`the text encoder folder ${folder} has no readable ${file}`, { hint, cause })
  const repeated = (key: string) => new UserError(`${file} of the text encoder ${folder} has ${key} twice`, { hint })
  let text: string
  try {
    text = readFileSync(join(folder, file), 'utf8')
  } catch (cause) {
    throw invalid(cause)
  }
  return parseJson(text, { invalid, repeated })
}

/** Whether a tensor of a Gemma 3 download is part of its text tower. The output head is not needed. */
export const isTextTensor = (name: string) => !/vision|multi_modal_projector|^(language_model\.)?lm_head\./.test(name)

/**
 * Identifies a text encoder: it depends on the weights of the text tower and on the tokenizer.
 * @throws UserError when the folder has no weights or no tokenizer.
 */
export function textEncoderFingerprint(folder: string): string {
  readFolderJson(folder, 'tokenizer.json')
  const weights = openShards(folder)
  try {
    const tokenizerHash = createHash('sha256')
      .update(readFileSync(join(folder, 'tokenizer.json')))
      .digest('hex')
    return `${fingerprint(weights, isTextTensor)}-${tokenizerHash.slice(0, 8)}`
  } finally {
    weights.close()
  }
}
