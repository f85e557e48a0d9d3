import { existsSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { float32Bytes, toBfloat16, toFloat32 } from '../../src/formats/dtypes.ts'
import { openSafetensors, writeSafetensors } from '../../src/formats/safetensors.ts'
import {
  type LoraMetadata,
  type LoraModule,
  parseLoraMetadata,
  readLora,
  writeLora,
  writeTrainedLora,
} from '../../src/model/lora-file.ts'
import { UserError } from '../../src/platform/errors.ts'
import { golden, goldenPath } from '../golden/golden.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-lora-'))
let files = 0
const newPath = () => join(folder, `lora-${files++}.safetensors`)

const facts: LoraMetadata = {
  rank: 2,
  alpha: 4,
  triggerPhrase: 'tonech4nge',
  baseModel: '0123456789abcdef',
  referencePositions: 'overlapping',
  durationSeconds: 3.2,
  normalized: true,
  steps: 2000,
  toolVersion: '0.1.0',
}

const module = 'transformer_blocks.0.audio_attn1.to_q'
const keys = { a: `diffusion_model.${module}.lora_A.weight`, b: `diffusion_model.${module}.lora_B.weight` }
const factors = new Map([
  [keys.a, { shape: [2, 3], values: Float32Array.of(1, 2, 3, 4, 5, 6) }],
  [keys.b, { shape: [1, 2], values: Float32Array.of(0.5, -1) }],
])

describe('the golden LoRA', () => {
  const lora = readLora(goldenPath('lora-rank4-bf16.safetensors'))
  const train = golden('train.safetensors')

  it('is read as the factors of the golden gradients, rounded to bfloat16', () => {
    const rounded = (name: string) => toFloat32(toBfloat16(train.float32(name)), 'BF16')
    expect(lora.modules.size).toBe(train.names.filter((name) => /^diffusion_model\..*lora_A/.test(name)).length)
    expect(lora.modules.size).toBeGreaterThan(0)
    for (const [name, { a, b }] of lora.modules) {
      expect(a, name).toEqual(rounded(`diffusion_model.${name}.lora_A.weight`))
      expect(b, name).toEqual(rounded(`diffusion_model.${name}.lora_B.weight`))
    }
  })

  it('is reproduced byte for byte by writeTrainedLora', () => {
    const golden = openSafetensors(goldenPath('lora-rank4-bf16.safetensors'))
    const path = newPath()
    const factors = new Map(
      [...golden.tensors].map(([name, { shape }]) => [name, { shape, values: train.float32(name) }]),
    )
    writeTrainedLora(path, factors, 1, facts)
    const file = openSafetensors(path)
    expect([...file.tensors.keys()]).toEqual([...golden.tensors.keys()])
    for (const name of golden.tensors.keys()) expect(file.read(name)).toEqual(golden.read(name))
    file.close()
    golden.close()
  })

  it('has no metadata', () => {
    expect(Object.values(parseLoraMetadata(lora.metadata)).every((fact) => fact === undefined)).toBe(true)
  })
})

describe('a LoRA of this trainer', () => {
  const path = newPath()
  writeTrainedLora(path, factors, 2, facts)
  const lora = readLora(path)

  it('has alpha / rank folded into B', () => {
    expect(lora.modules.get(module)).toEqual({
      rank: 2,
      inputs: 3,
      outputs: 1,
      a: Float32Array.of(1, 2, 3, 4, 5, 6),
      b: Float32Array.of(1, -2),
    })
  })

  it('contains only the factors', () => {
    const file = openSafetensors(path)
    expect([...file.tensors.keys()]).toEqual([keys.a, keys.b])
    expect([...file.tensors.values()].map(({ dtype }) => dtype)).toEqual(['BF16', 'BF16'])
    file.close()
  })

  it('describes the training in its metadata', () => {
    expect(lora.metadata).toEqual({
      rank: '2',
      alpha: '4',
      trigger_phrase: 'tonech4nge',
      base_model: '0123456789abcdef',
      reference_positions: 'overlapping',
      duration_seconds: '3.2',
      audio_normalize: 'true',
      steps: '2000',
      tool: 'ltx-a2a 0.1.0',
    })
    expect(parseLoraMetadata(lora.metadata)).toEqual({
      rank: 2,
      alpha: 4,
      triggerPhrase: 'tonech4nge',
      baseModel: '0123456789abcdef',
      durationSeconds: 3.2,
      normalized: true,
    })
  })
})

describe('the metadata of another trainer', () => {
  it('is ignored where a number is invalid', () => {
    expect(parseLoraMetadata({ rank: 'auto', duration_seconds: 'NaN' })).toMatchObject({
      rank: undefined,
      durationSeconds: undefined,
    })
  })
})

describe('a file is refused as a LoRA', () => {
  const fileOf = (shapes: Record<string, number[]>) => {
    const path = newPath()
    const tensors = Object.entries(shapes).map(([name, shape]) => {
      const values = new Float32Array(shape.reduce((count, size) => count * size, 1))
      return [name, { dtype: 'F32' as const, shape, bytes: float32Bytes(values) }] as const
    })
    writeSafetensors(path, new Map(tensors))
    return path
  }

  it.each<[when: string, shapes: Record<string, number[]>, sentence: string]>([
    ['when it is empty', {}, 'it is empty'],
    ['when it contains other weights', { 'x.weight': [1] }, 'it contains x.weight'],
    ['when it contains alphas', { [keys.a]: [2, 3], [keys.b]: [1, 2], 'x.alpha': [] }, 'it contains x.alpha'],
    ['when B is missing', { [keys.a]: [2, 3] }, `${module} has only lora_A`],
    ['when A is missing', { [keys.b]: [1, 2] }, `${module} has only lora_B`],
    ['when the ranks differ', { [keys.a]: [2, 3], [keys.b]: [1, 4] }, `${module} has the shapes [2,3] and [1,4]`],
    [
      'when a factor is not a matrix',
      { [keys.a]: [2, 3, 1], [keys.b]: [1, 2] },
      `${module} has the shapes [2,3,1] and [1,2]`,
    ],
  ])('%s', (_, shapes, sentence) => {
    const read = () => readLora(fileOf(shapes))
    expect(read).toThrow(sentence)
    expect(read).toThrow(UserError)
  })
})

it.each([
  ['5', 5],
  ['60', 60],
  ['0', undefined],
  ['-1', undefined],
  ['1e999', undefined],
  ['long', undefined],
  ['', undefined],
])('a duration of %j in the metadata is parsed as %j', (duration_seconds, seconds) =>
  expect(parseLoraMetadata({ duration_seconds }).durationSeconds).toBe(seconds),
)

describe('a LoRA file that was read', () => {
  it('is written back with the same tensors and metadata', () => {
    const [before, after] = [newPath(), newPath()]
    writeTrainedLora(before, factors, 2, facts)
    writeLora(after, readLora(before))
    const [first, second] = [openSafetensors(before), openSafetensors(after)]
    expect(second.metadata).toEqual(first.metadata)
    expect([...second.tensors.keys()].sort()).toEqual([...first.tensors.keys()].sort())
    for (const name of first.tensors.keys()) expect(second.float32(name)).toEqual(first.float32(name))
    first.close()
    second.close()
  })

  it.each([
    [{ a: [1, 2, 3, 4] }, /lora_A.weight must be a Float32Array of the shape \[\d+,\d+\]$/],
    [{ b: new Float64Array(4) }, /lora_B.weight must be a Float32Array/],
    [{ a: new Float32Array(3) }, /lora_A.weight must be .*, but has 3 values$/],
    [{ rank: -1 }, /lora_A.weight must be .*\[-1,\d+\], but has \d+ values$/],
  ])('is not written with factors that do not match: %j', (change, message) => {
    const [before, after] = [newPath(), newPath()]
    writeTrainedLora(before, factors, 1, facts)
    const { modules, metadata } = readLora(before)
    const changed = new Map([...modules].map(([name, module]) => [name, { ...module, ...change } as LoraModule]))
    expect(() => writeLora(after, { modules: changed, metadata })).toThrow(message)
    expect(existsSync(after)).toBe(false)
  })

  it('can be modified before it is written back', () => {
    const [before, after] = [newPath(), newPath()]
    writeTrainedLora(before, factors, 1, facts)
    const { modules, metadata } = readLora(before)
    const half = new Map(
      [...modules].map(([name, layer]) => [name, { ...layer, b: layer.b.map((value) => value / 2) }]),
    )
    writeLora(after, { modules: half, metadata })
    expect([...(readLora(after).modules.get(module)?.b ?? [])]).toEqual([0.25, -0.5])
  })
})
