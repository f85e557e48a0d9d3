/** Safetensors files, opened and read completely: as a plain file, as a LoRA, and as a base model. */
import { readFileSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { openSafetensors } from '../../../src/formats/safetensors.ts'
import { openBase } from '../../../src/model/base-model.ts'
import { type LoraFile, readLora } from '../../../src/model/lora-file.ts'
import { UserError } from '../../../src/platform/errors.ts'
import type { Random } from '../../../src/platform/random.ts'
import { mutate, pick, randomInt } from '../mutation.ts'
import type { Format } from './format.ts'

const base = fileURLToPath(new URL('../../../test/base/ltx-2.3-tiny-audio.safetensors', import.meta.url))
const textEncoder = fileURLToPath(new URL('../../../test/base/gemma3-tiny', import.meta.url))

export function safetensorsFormat(): Format {
  const head = headOf(base)
  const size = statSync(base).size
  const seeds = [lora(), allTypes(), withMetadata()]
  return {
    make: (random) => {
      const kind = randomInt(random, 10)
      if (kind === 0)
        return { bytes: withHeader(head, mutatedJson(jsonOf(head), random)), size, name: 'base.safetensors' }
      if (kind < 5) {
        const seed = pick(random, seeds)
        return { bytes: withHeader(seed, mutatedJson(jsonOf(seed), random)), name: 'x.safetensors' }
      }
      return { bytes: mutate(pick(random, seeds), random, seeds), name: 'x.safetensors' }
    },
    use: (path) => {
      const file = openSafetensors(path)
      try {
        for (const name of file.tensors.keys()) file.float32(name)
      } finally {
        file.close()
      }
      catchUserError(() => void (readLora(path) satisfies LoraFile))
      if (path.endsWith('base.safetensors')) openBase({ model: path, textEncoder }).close()
    },
  }
}

/** A file that is not a LoRA may still be a checkpoint. */
function catchUserError(work: () => void) {
  try {
    work()
  } catch (error) {
    if (!(error instanceof UserError)) throw error
  }
}

const headerLength = (bytes: Uint8Array) => Number(Buffer.from(bytes).readBigUInt64LE())

const jsonOf = (bytes: Uint8Array) => Buffer.from(bytes.subarray(8, 8 + headerLength(bytes))).toString()

/** The same file with another header. The length field matches it. */
function withHeader(bytes: Uint8Array, json: string): Uint8Array {
  const header = Buffer.from(json)
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(header.length))
  return new Uint8Array(Buffer.concat([length, header, bytes.subarray(8 + headerLength(bytes))]))
}

/** Replaces one random token of a JSON text. */
export function mutatedJson(json: string, random: Random): string {
  const tokens = [...json.matchAll(/"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?|[[\]{},:]|true|false|null/g)]
  const [token] = tokens.slice(randomInt(random, tokens.length)) as [RegExpExecArray]
  const at = token.index
  return json.slice(0, at) + replacement(token[0], random) + json.slice(at + token[0].length)
}

function replacement(token: string, random: Random): string {
  const numbers = ['0', '-1', '1e308', '1.5', '9007199254740993', '4294967296', '18446744073709551615', '-0', '1e400']
  const others = [
    'null',
    'true',
    '[]',
    '{}',
    '""',
    '"__proto__"',
    '"constructor"',
    `${'['.repeat(5000)}`,
    '"\\ud800"',
    '',
  ]
  if (/^-?\d/.test(token)) return pick(random, random.uniform() < 0.7 ? numbers : others)
  if (token.startsWith('"')) return pick(random, [...others, `"${'x'.repeat(100_000)}"`, token + token, token.slice(1)])
  return pick(random, [...others, ...numbers, token + token, ',,'])
}

function file(
  tensors: Record<string, { dtype: string; shape: number[]; bytes: number }>,
  metadata?: object,
): Uint8Array {
  let at = 0
  const header: Record<string, unknown> = metadata ? { __metadata__: metadata } : {}
  for (const [name, { dtype, shape, bytes }] of Object.entries(tensors)) {
    header[name] = { dtype, shape, data_offsets: [at, at + bytes] }
    at += bytes
  }
  return withHeader(new Uint8Array(8 + at), JSON.stringify(header))
}

const lora = () =>
  file(
    Object.fromEntries(
      ['to_q', 'to_k'].flatMap((name) => [
        [
          `diffusion_model.transformer_blocks.0.audio_attn1.${name}.lora_A.weight`,
          { dtype: 'BF16', shape: [4, 64], bytes: 512 },
        ],
        [
          `diffusion_model.transformer_blocks.0.audio_attn1.${name}.lora_B.weight`,
          { dtype: 'BF16', shape: [64, 4], bytes: 512 },
        ],
      ]),
    ),
    { rank: '4', alpha: '4', trigger_phrase: 'x', duration_seconds: '0.5' },
  )

const allTypes = () =>
  file({
    a: { dtype: 'F32', shape: [2, 3], bytes: 24 },
    b: { dtype: 'F16', shape: [], bytes: 2 },
    c: { dtype: 'BF16', shape: [0, 5], bytes: 0 },
    d: { dtype: 'U8', shape: [7], bytes: 7 },
    e: { dtype: 'I64', shape: [1], bytes: 8 },
  })

const withMetadata = () =>
  file({ x: { dtype: 'F32', shape: [1], bytes: 4 } }, { config: '{"transformer":{}}', step: '3' })

function headOf(path: string): Uint8Array {
  const bytes = readFileSync(path)
  return new Uint8Array(bytes.subarray(0, 8 + headerLength(bytes)))
}
