/**
 * Measures the text encoder at the sizes of Gemma 3 12B, with a few layers of random weights and all captions in one pass. Prints the seconds per layer
 * and for 48 layers, and the peak memory: `npx tsx scripts/measure-text-encoder.ts [layers] [captions] [tokens] [backend]`
 */
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BackendChoice, startBackend } from '../src/engine/backend.ts'
import { bytesPerElement, elementCount, toBfloat16 } from '../src/formats/dtypes.ts'
import { encodeHeader, type HeaderEntry } from '../src/formats/safetensors-header.ts'
import { hiddenStates, openGemma } from '../src/model/text/gemma.ts'
import { normals, randomFor } from '../src/platform/random.ts'

const [layers = 2, captions = 8, tokens = 24] = process.argv.slice(2, 5).map(Number)
const released = { layers: 48, hidden: 3840, heads: 16, keyValueHeads: 8, headDim: 256, inner: 15360 }
/** Embeddings are read row by row, so the size of the table does not matter. */
const vocabulary = 1024

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-tower-'))
try {
  writeTower(folder)
  const backend = await startBackend((process.argv[5] ?? 'auto') as BackendChoice)
  const gemma = openGemma(folder)
  const ids = Array.from({ length: captions }, (_, caption) =>
    Array.from({ length: tokens }, (_, token) => (caption * 31 + token * 7) % vocabulary),
  )
  const seconds: number[] = []
  let before = performance.now()
  for (const level of hiddenStates(gemma, ids)) {
    await level[0]?.data() // waits for the GPU
    seconds.push((performance.now() - before) / 1000)
    before = performance.now()
  }
  gemma.close()
  const perLayer = Math.min(...seconds.slice(1))
  console.log(`${backend.name}: ${captions} captions of ${tokens} tokens`)
  console.log(
    `${perLayer.toFixed(1)} s a layer, ${((perLayer * released.layers) / 60).toFixed(1)} min for ${released.layers}`,
  )
  console.log(`peak memory ${(process.resourceUsage().maxRSS / 1e6).toFixed(2)} GB`)
} finally {
  rmSync(folder, { recursive: true })
}

function writeTower(folder: string) {
  const { hidden, heads, keyValueHeads, headDim, inner } = released
  const shapes: Record<string, number[]> = {
    'input_layernorm.weight': [hidden],
    'post_attention_layernorm.weight': [hidden],
    'pre_feedforward_layernorm.weight': [hidden],
    'post_feedforward_layernorm.weight': [hidden],
    'self_attn.q_proj.weight': [heads * headDim, hidden],
    'self_attn.k_proj.weight': [keyValueHeads * headDim, hidden],
    'self_attn.v_proj.weight': [keyValueHeads * headDim, hidden],
    'self_attn.o_proj.weight': [hidden, heads * headDim],
    'self_attn.q_norm.weight': [headDim],
    'self_attn.k_norm.weight': [headDim],
    'mlp.gate_proj.weight': [inner, hidden],
    'mlp.up_proj.weight': [inner, hidden],
    'mlp.down_proj.weight': [hidden, inner],
  }
  const prefix = 'language_model.model.'
  const entries = new Map<string, HeaderEntry>([
    [`${prefix}embed_tokens.weight`, { dtype: 'BF16', shape: [vocabulary, hidden] }],
    ...Array.from({ length: layers }, (_, i) =>
      Object.entries(shapes).map(([name, shape]): [string, HeaderEntry] => [
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
  const config = {
    model_type: 'gemma3_text',
    hidden_size: hidden,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: keyValueHeads,
    head_dim: headDim,
    query_pre_attn_scalar: headDim,
    sliding_window: 1024,
  }
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config))
}
