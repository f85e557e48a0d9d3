/** The sizes and variants of a Gemma text tower: Gemma 3 for LTX-2.3 (reference §5.3), Gemma 4 "unified" for LTX-2.5 (reference §10.2). */
import { z } from 'zod'
import { UserError } from '../../platform/errors.ts'

/** Sliding layers attend to the last tokens only, full layers to all earlier ones. */
export type LayerKind = 'sliding_attention' | 'full_attention'

/** The attention of one kind of layer. */
export type GemmaAttentionConfig = {
  headDim: number
  keyValueHeads: number
  /** How many tokens a token attends to, itself included. */
  window: number
  /** Whether values are the projected keys, before their norm and rotation. */
  sharesKeyAndValue: boolean
  /** angle_j = position / factor · theta^(−2j / headDim) for the pairs j < rotatedPairs; the others are not rotated. */
  rope: { theta: number; factor: number; rotatedPairs: number }
}

export type GemmaConfig = {
  generation: 3 | 4
  /** Of a Gemma that was trained for LTX: what a checkpoint names it by. */
  version?: string | undefined
  hiddenSize: number
  /** One entry per layer. */
  layers: LayerKind[]
  heads: number
  attention: Record<LayerKind, GemmaAttentionConfig>
  /** The factor of query · key. */
  scoreScale: number
  normEpsilon: number
  /** Norms multiply by their stored weight plus this. */
  normOffset: 0 | 1
  /** Whether the values of every head are normalized, without a weight. */
  normalizesValues: boolean
  /** Whether the output of every layer is multiplied by a stored scalar. */
  scalesLayers: boolean
}

/**
 * @param config the JSON of the model, or of its text tower alone.
 * @param name what the config is called in messages.
 * @throws UserError when it does not describe a Gemma 3 or a Gemma 4.
 */
export function parseGemmaConfig(config: unknown, name: string): GemmaConfig {
  const whole = config as { text_config?: unknown; model_type?: unknown; gemma_version?: unknown }
  const parsed = schema.safeParse(whole.text_config ?? whole)
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    throw new UserError(
      `${name} does not describe a Gemma 3 or Gemma 4 text encoder: ${issue?.path.join('.')}: ${issue?.message}`,
      { hint: 'LTX-2.3 needs the text encoder Gemma 3 12B, LTX-2.5 its own packed Gemma 4 12B' },
    )
  }
  const tower = isGemma4(parsed.data) ? gemma4(parsed.data) : gemma3(parsed.data)
  const depth = parsed.data.num_hidden_layers
  if (tower.layers.length !== depth)
    throw new UserError(`${name} has ${depth} layers, but the kinds of ${tower.layers.length}`, {
      hint: 'download the text encoder again',
    })
  return { ...tower, ...(typeof whole.gemma_version === 'string' && { version: whole.gemma_version }) }
}

const count = z.number().int().positive()
const kind = z.enum(['sliding_attention', 'full_attention'])
const common = {
  hidden_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: count,
  sliding_window: count,
  head_dim: count.default(256),
  rms_norm_eps: z.number().positive().default(1e-6),
  hidden_activation: z.literal('gelu_pytorch_tanh').default('gelu_pytorch_tanh'),
  attention_bias: z.literal(false).default(false),
}
const linearRope = z.object({ rope_theta: z.number().positive(), factor: z.number().positive().default(1) })

/** The defaults are those of the format: published configs omit values that equal them. */
const gemma3Schema = z.object({
  ...common,
  model_type: z.enum(['gemma3_text', 'gemma3']),
  query_pre_attn_scalar: z.number().positive().default(256),
  layer_types: z.array(kind).nullish(),
  sliding_window_pattern: count.default(6),
  rope_theta: z.number().positive().default(1e6),
  rope_local_base_freq: z.number().positive().default(1e4),
  rope_scaling: z.object({ rope_type: z.literal('linear'), factor: z.number().positive() }).nullish(),
  rope_parameters: z.object({ sliding_attention: linearRope, full_attention: linearRope }).nullish(),
  attn_logit_softcapping: z.null().default(null),
})

const gemma4Schema = z.object({
  ...common,
  model_type: z.enum(['gemma4_unified_text', 'gemma4_unified', 'gemma4_text', 'gemma4']),
  layer_types: z.array(kind).nullish(),
  global_head_dim: count.nullable().default(512),
  num_global_key_value_heads: count.nullish(),
  attention_k_eq_v: z.boolean().default(false),
  hidden_size_per_layer_input: z.literal(0).default(0),
  num_kv_shared_layers: z.literal(0).default(0),
  use_double_wide_mlp: z.literal(false).default(false),
  enable_moe_block: z.literal(false).nullish(),
  use_bidirectional_attention: z.literal('vision').nullish(), // text stays causal
  rope_parameters: z.object({
    sliding_attention: z.object({ rope_type: z.literal('default'), rope_theta: z.number().positive() }),
    full_attention: z.object({
      rope_type: z.literal('proportional'),
      rope_theta: z.number().positive(),
      factor: z.number().positive().default(1),
      partial_rotary_factor: z.number().positive().max(1).default(1),
    }),
  }),
})

const schema = z.discriminatedUnion('model_type', [gemma3Schema, gemma4Schema])

const isGemma4 = (config: z.infer<typeof schema>): config is z.infer<typeof gemma4Schema> =>
  config.model_type.startsWith('gemma4')

const everyNthFull = (layers: number, n: number): LayerKind[] =>
  Array.from({ length: layers }, (_, layer) => ((layer + 1) % n === 0 ? 'full_attention' : 'sliding_attention'))

/** Newer configs list the kind of every layer and the rope of every kind; older ones have a pattern and two base frequencies. */
function gemma3(config: z.infer<typeof gemma3Schema>): GemmaConfig {
  const { sliding_attention: sliding, full_attention: full } = config.rope_parameters ?? {
    sliding_attention: { rope_theta: config.rope_local_base_freq, factor: 1 },
    full_attention: { rope_theta: config.rope_theta, factor: config.rope_scaling?.factor ?? 1 },
  }
  const attention = ({ rope_theta: theta, factor }: z.infer<typeof linearRope>, window: number) => ({
    headDim: config.head_dim,
    keyValueHeads: config.num_key_value_heads,
    window,
    sharesKeyAndValue: false,
    rope: { theta, factor, rotatedPairs: config.head_dim / 2 },
  })
  return {
    generation: 3,
    hiddenSize: config.hidden_size,
    layers: config.layer_types ?? everyNthFull(config.num_hidden_layers, config.sliding_window_pattern),
    heads: config.num_attention_heads,
    attention: {
      sliding_attention: attention(sliding, config.sliding_window),
      full_attention: attention(full, Number.POSITIVE_INFINITY),
    },
    scoreScale: config.query_pre_attn_scalar ** -0.5,
    normEpsilon: config.rms_norm_eps,
    normOffset: 1,
    normalizesValues: false,
    scalesLayers: false,
  }
}

/** The last layer is a full one, whatever the config lists. */
function gemma4(config: z.infer<typeof gemma4Schema>): GemmaConfig {
  const { sliding_attention: sliding, full_attention: full } = config.rope_parameters
  const { head_dim: headDim, num_key_value_heads: keyValueHeads, attention_k_eq_v: sharesKeyAndValue } = config
  const fullHeadDim = config.global_head_dim ?? headDim
  const layers = config.layer_types ?? everyNthFull(config.num_hidden_layers, 6)
  return {
    generation: 4,
    hiddenSize: config.hidden_size,
    layers: [...layers.slice(0, -1), 'full_attention'],
    heads: config.num_attention_heads,
    attention: {
      sliding_attention: {
        headDim,
        keyValueHeads,
        window: config.sliding_window,
        sharesKeyAndValue: false,
        rope: { theta: sliding.rope_theta, factor: 1, rotatedPairs: headDim / 2 },
      },
      full_attention: {
        headDim: fullHeadDim,
        keyValueHeads: (sharesKeyAndValue && config.num_global_key_value_heads) || keyValueHeads,
        window: Number.POSITIVE_INFINITY,
        sharesKeyAndValue,
        rope: {
          theta: full.rope_theta,
          factor: full.factor,
          rotatedPairs: Math.floor((full.partial_rotary_factor * fullHeadDim) / 2),
        },
      },
    },
    scoreScale: 1,
    normEpsilon: config.rms_norm_eps,
    normOffset: 0,
    normalizesValues: true,
    scalesLayers: true,
  }
}
