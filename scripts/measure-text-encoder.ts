/**
 * Measures a text encoder at its released sizes, with a few layers of random weights and all captions in one pass. Prints the seconds per layer and for 48
 * layers, and the peak memory: `npx tsx scripts/measure-text-encoder.ts [layers] [captions] [tokens] [backend] [gemma3|gemma4]`
 */
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BackendChoice, startBackend } from '../src/engine/backend.ts'
import { bytesPerElement, elementCount, toBfloat16 } from '../src/formats/dtypes.ts'
import { encodeHeader, type HeaderEntry } from '../src/formats/safetensors-header.ts'
import { hiddenStates } from '../src/model/text/gemma.ts'
import { openTextEncoder } from '../src/model/text/text-encoder.ts'
import { normals, randomFor } from '../src/platform/random.ts'

const [layers = 2, captions = 8, tokens = 24] = process.argv.slice(2, 5).map(Number)
const [backendChoice = 'auto', generation = 'gemma3'] = process.argv.slice(5)
const isGemma4 = generation === 'gemma4'
const released = { layers: 48, hidden: 3840, heads: 16, inner: 15360 }
/** Embeddings are read row by row, so the size of the table does not matter. */
const vocabulary = 1024
/** As in the released models; the last layer of a Gemma 4 is always a full one. */
const isFull = (layer: number) => layer % 6 === 5 || (isGemma4 && layer === layers - 1)

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-tower-'))
try {
  writeTower(folder)
  const backend = await startBackend(backendChoice as BackendChoice)
  const encoder = openTextEncoder(folder)
  const ids = Array.from({ length: captions }, (_, caption) =>
    Array.from({ length: tokens }, (_, token) => (caption * 31 + token * 7) % vocabulary),
  )
  const seconds: number[] = []
  let before = performance.now()
  for (const level of hiddenStates(encoder, ids)) {
    await level[0]?.data() // waits for the GPU
    seconds.push((performance.now() - before) / 1000)
    before = performance.now()
  }
  encoder.close()
  const perLayer = Math.min(...seconds.slice(1))
  console.log(`${generation} on ${backend.name}: ${captions} captions of ${tokens} tokens`)
  console.log(
    `${perLayer.toFixed(1)} s a layer, ${((perLayer * released.layers) / 60).toFixed(1)} min for ${released.layers}`,
  )
  console.log(`peak memory ${(process.resourceUsage().maxRSS / 1e6).toFixed(2)} GB`)
} finally {
  rmSync(folder, { recursive: true })
}

function layerShapes(layer: number): Record<string, number[]> {
  const { hidden, heads, inner } = released
  const [headDim, keyValueHeads] = isGemma4 && isFull(layer) ? [512, 1] : [256, 8]
  return {
    'input_layernorm.weight': [hidden],
    'post_attention_layernorm.weight': [hidden],
    'pre_feedforward_layernorm.weight': [hidden],
    'post_feedforward_layernorm.weight': [hidden],
    'self_attn.q_proj.weight': [heads * headDim, hidden],
    'self_attn.k_proj.weight': [keyValueHeads * headDim, hidden],
    ...(!(isGemma4 && isFull(layer)) && { 'self_attn.v_proj.weight': [keyValueHeads * headDim, hidden] }),
    'self_attn.o_proj.weight': [hidden, heads * headDim],
    'self_attn.q_norm.weight': [headDim],
    'self_attn.k_norm.weight': [headDim],
    'mlp.gate_proj.weight': [inner, hidden],
    'mlp.up_proj.weight': [inner, hidden],
    'mlp.down_proj.weight': [hidden, inner],
    ...(isGemma4 && { layer_scalar: [1] }),
  }
}

function writeTower(folder: string) {
  const { hidden } = released
  const prefix = 'model.language_model.'
  const entries = new Map<string, HeaderEntry>([
    [`${prefix}embed_tokens.weight`, { dtype: 'BF16', shape: [vocabulary, hidden] }],
    ...Array.from({ length: layers }, (_, i) =>
      Object.entries(layerShapes(i)).map(([name, shape]): [string, HeaderEntry] => [
        `${prefix}layers.${i}.${name}`,
        { dtype: 'BF16', shape },
      ]),
    ).flat(),
    [`${prefix}norm.weight`, { dtype: 'BF16', shape: [hidden] }],
  ])
  const values = toBfloat16(normals(randomFor(1, 'tower'), 2 ** 20).map((value) => value / 50))
  const fd = openSync(join(folder, 'model.safetensors'), 'w')
  writeSync(fd, encodeHeader(entries))
  for (const { dtype, shape } of entries.values())
    for (let left = elementCount(shape) * bytesPerElement[dtype]; left > 0; left -= values.length)
      writeSync(fd, values, 0, Math.min(left, values.length))
  closeSync(fd)
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config()))
  for (const file of ['tokenizer.json', 'tokenizer_config.json']) writeFileSync(join(folder, file), '{}') // not used
}

function config() {
  const { hidden: hidden_size, heads: num_attention_heads } = released
  const sizes = { hidden_size, num_attention_heads, num_hidden_layers: layers, sliding_window: 1024 }
  const common = { ...sizes, num_key_value_heads: 8, head_dim: 256 }
  if (!isGemma4) return { ...common, model_type: 'gemma3_text', query_pre_attn_scalar: 256 }
  return {
    ...common,
    model_type: 'gemma4_unified_text',
    global_head_dim: 512,
    num_global_key_value_heads: 1,
    attention_k_eq_v: true,
    layer_types: Array.from({ length: layers }, (_, i) => (isFull(i) ? 'full_attention' : 'sliding_attention')),
    rope_parameters: {
      sliding_attention: { rope_type: 'default', rope_theta: 10_000 },
      full_attention: { rope_type: 'proportional', partial_rotary_factor: 0.25, rope_theta: 1_000_000 },
    },
  }
}
