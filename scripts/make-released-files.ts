/**
 * Writes the files of LTX-2.5 at their released sizes with made-up weights, 32.4 GB without the video stream, to rehearse a download, a training and a
 * preview with them: `npx tsx scripts/make-released-files.ts <folder>`. The text encoder's tokenizer has the released numbers of tokens and merges.
 */
import { closeSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { bytesPerElement, type Dtype, elementCount, toBfloat16 } from '../src/formats/dtypes.ts'
import { encodeHeader, type HeaderEntry, type Metadata } from '../src/formats/safetensors-header.ts'
import { normals, randomFor } from '../src/platform/random.ts'
import { released25 } from './bench/released-2.5.ts'

const [folder] = process.argv.slice(2)
if (folder === undefined) throw new Error('name the folder to write to')

type Shapes = Record<string, [Dtype, number[]]>
type Component = { groups: { prefix: string; index: number[]; names: Shapes }[]; tensors: Shapes }
const manifestPath = new URL('../test/golden/data-2.5/manifest-22b-audio.json', import.meta.url)
const { files } = JSON.parse(readFileSync(manifestPath, 'utf8')) as { files: Record<string, Component> }

function entriesOf(component: string): Map<string, HeaderEntry> {
  const { groups, tensors } = files[component] as Component
  const grouped = groups.flatMap(({ prefix, index, names }) =>
    index.flatMap((i) => Object.entries(names).map(([name, entry]) => [`${prefix}${i}.${name}`, entry] as const)),
  )
  return new Map([...grouped, ...Object.entries(tensors)].map(([name, [dtype, shape]]) => [name, { dtype, shape }]))
}

const poolValues = 2 ** 20
const pool = normals(randomFor(1, 'weights'), poolValues)
/** By the standard deviation of the weights. */
const pools = new Map<number, Uint8Array>()
const float32Pool = new Uint8Array(pool.map((value) => value * 0.02).buffer)

function bytesOf(name: string, { dtype, shape }: HeaderEntry): Uint8Array {
  if (dtype === 'F32') return float32Pool
  if (/norm\.weight$|std-of-means$/.test(name)) return toBfloat16(new Float32Array(poolValues).fill(1))
  if (name.endsWith('layer_scalar')) return toBfloat16(Float32Array.of(0.3))
  const deviation = Math.sqrt(1 / (shape.length > 1 ? elementCount(shape.slice(1)) : 2048))
  const known = pools.get(deviation)
  if (known) return known
  const made = toBfloat16(pool.map((value) => value * deviation))
  pools.set(deviation, made)
  return made
}

function write(
  path: string,
  component: string,
  metadata: Metadata,
  bytes: ReadonlyMap<string, Uint8Array> = new Map(),
) {
  const entries = entriesOf(component)
  for (const [name, { length }] of bytes) entries.set(name, { dtype: 'U8', shape: [length] })
  mkdirSync(dirname(join(folder as string, path)), { recursive: true })
  const fd = openSync(join(folder as string, path), 'wx')
  writeSync(fd, encodeHeader(entries, metadata))
  for (const [name, entry] of entries) {
    const repeated = bytes.get(name) ?? bytesOf(name, entry)
    for (let left = elementCount(entry.shape) * bytesPerElement[entry.dtype]; left > 0; left -= repeated.length)
      writeSync(fd, repeated, 0, Math.min(left, repeated.length))
  }
  closeSync(fd)
  console.log(`${path}: ${entries.size} tensors`)
}

/** A byte-pair encoding with 262,144 tokens and 514,906 merges: characters, bytes, and made-up words that merge from two shorter ones. */
function makeTokenizer(): Uint8Array {
  const special = ['<pad>', '<eos>', '<bos>', '<unk>']
  const byteTokens = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`)
  const letters = [...'▁abcdefghijklmnopqrstuvwxyz0123456789,.']
  const vocabulary = new Map([...special, ...byteTokens, ...letters].map((token, id) => [token, id]))
  const merges: [string, string][] = []
  const words = [...letters]
  for (let i = 0; vocabulary.size < 262_144; i++) {
    const pair: [string, string] = [
      words[Math.floor(i / letters.length)] as string,
      letters[i % letters.length] as string,
    ]
    vocabulary.set(pair.join(''), vocabulary.size)
    words.push(pair.join(''))
    merges.push(pair)
  }
  const made = new Set(merges.map((pair) => pair.join(' ')))
  for (const word of words) {
    const pair: [string, string] = [word[0] as string, word.slice(1)]
    if (merges.length < 514_906 && vocabulary.has(pair[1]) && !made.has(pair.join(' '))) merges.push(pair)
  }
  const addedTokens = special.map((content, id) => ({
    id,
    content,
    special: true,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
  }))
  const tokenizer = {
    version: '1.0',
    added_tokens: addedTokens,
    normalizer: { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
    model: {
      type: 'BPE',
      byte_fallback: true,
      unk_token: '<unk>',
      fuse_unk: true,
      ignore_merges: false,
      vocab: Object.fromEntries(vocabulary),
      merges,
    },
  }
  return Buffer.from(JSON.stringify(tokenizer, null, 2)) // indented, as published
}

write('diffusion_models/ltx-2.5-22b-dev-transformer-bf16.safetensors', 'transformer', released25.transformer)
write('vae/ltx-2.5-audio-vae-bf16.safetensors', 'audio', released25.audioVae)
write(
  'text_encoders/gemma4-12b-with-proj-ltx-2.5-bf16.safetensors',
  'text_encoder',
  released25.textEncoder,
  new Map([
    ['tokenizer_json', makeTokenizer()],
    ['hf_asset__tokenizer_config.json', Buffer.from(JSON.stringify({ bos_token: '<bos>', pad_token: '<pad>' }))],
  ]),
)
