import { existsSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { float32Bytes, toBfloat16, toFloat32 } from '../../src/formats/dtypes.ts'
import { openSafetensors, writeSafetensors } from '../../src/formats/safetensors.ts'
import {
  type LoraFile,
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
  exampleCaption: 'tonech4nge a bell',
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

  it('is reproduced byte for byte by writeTrainedLora', async () => {
    const golden = openSafetensors(goldenPath('lora-rank4-bf16.safetensors'))
    const path = newPath()
    const factors = new Map(
      [...golden.tensors].map(([name, { shape }]) => [name, { shape, values: train.float32(name) }]),
    )
    await writeTrainedLora(path, factors, 1, facts)
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
  let lora: LoraFile
  beforeAll(async () => {
    await writeTrainedLora(path, factors, 2, facts)
    lora = readLora(path)
  })

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
      example_caption: 'tonech4nge a bell',
      base_model: '0123456789abcdef',
      reference_positions: 'overlapping',
      duration_seconds: '3.2',
      audio_normalize: 'true',
      steps: '2000',
      tool: 'ltx-a2a 0.1.0',
    })
    expect(parseLoraMetadata(lora.metadata)).toEqual({
      baseVersion: '2.3',
      rank: 2,
      alpha: 4,
      triggerPhrase: 'tonech4nge',
      exampleCaption: 'tonech4nge a bell',
      baseModel: '0123456789abcdef',
      durationSeconds: 3.2,
      normalized: true,
    })
  })
})

describe('the example of a caption in the metadata', () => {
  const stored = async (exampleCaption: string | undefined) => {
    const path = newPath()
    await writeTrainedLora(path, factors, 1, { ...facts, exampleCaption })
    return readLora(path).metadata
  }

  it('is missing where there is none', async () => {
    expect(await stored(undefined)).not.toHaveProperty('example_caption')
    expect(parseLoraMetadata(await stored(undefined)).exampleCaption).toBeUndefined()
  })

  it('is one line of at most 200 characters, also in a file of another program', async () => {
    const [long, short] = ['🔔'.repeat(1000), `${'🔔'.repeat(199)}…`]
    expect(await stored('\u200b\u200b')).not.toHaveProperty('example_caption') // nothing to show
    expect(parseLoraMetadata({ example_caption: '' }).exampleCaption).toBeUndefined()
    expect((await stored('a bell,\n\tstruck'))?.example_caption).toBe('a bell, struck')
    expect((await stored(long))?.example_caption).toBe(short)
    expect(parseLoraMetadata({ example_caption: long }).exampleCaption).toBe(short)
    expect((await stored('🔔'.repeat(200)))?.example_caption).toBe('🔔'.repeat(200))
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
    [
      'when a layer has only an alpha',
      { [keys.a]: [2, 3], [keys.b]: [1, 2], 'x.alpha': [] },
      'x has an alpha, but no factors',
    ],
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
  it('is written back with the same tensors and metadata', async () => {
    const [before, after] = [newPath(), newPath()]
    await writeTrainedLora(before, factors, 2, facts)
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
  ])('is not written with factors that do not match: %j', async (change, message) => {
    const [before, after] = [newPath(), newPath()]
    await writeTrainedLora(before, factors, 1, facts)
    const { modules, metadata } = readLora(before)
    const changed = new Map([...modules].map(([name, module]) => [name, { ...module, ...change } as LoraModule]))
    expect(() => writeLora(after, { modules: changed, metadata })).toThrow(message)
    expect(existsSync(after)).toBe(false)
  })

  it('can be modified before it is written back', async () => {
    const [before, after] = [newPath(), newPath()]
    await writeTrainedLora(before, factors, 1, facts)
    const { modules, metadata } = readLora(before)
    const half = new Map(
      [...modules].map(([name, layer]) => [name, { ...layer, b: layer.b.map((value) => value / 2) }]),
    )
    writeLora(after, { modules: half, metadata })
    expect([...(readLora(after).modules.get(module)?.b ?? [])]).toEqual([0.25, -0.5])
  })
})

const [a, b] = [Float32Array.of(1, 2, 3, 4, 5, 6), Float32Array.of(0.5, -1)]

/** Writes tensors, with shapes by their names: A is `[2, 3]`, B is `[1, 2]`, everything else a scalar. */
function fileWith(
  tensors: Record<string, ArrayLike<number>>,
  {
    metadata,
    path = newPath(),
    dtype = 'F32',
  }: { metadata?: Record<string, string>; path?: string; dtype?: 'F32' | 'I8' } = {},
) {
  const shapes = { 6: [2, 3], 2: [1, 2], 1: [] }
  const stored = Object.entries(tensors).map(([name, values]) => {
    const bytes = dtype === 'F32' ? float32Bytes(Float32Array.from(values)) : new Uint8Array(values.length)
    return [name, { dtype, shape: shapes[values.length as 1 | 2 | 6], bytes }] as const
  })
  writeSafetensors(path, new Map(stored), metadata)
  return path
}

/** The factors that are read for the only layer of a file. */
function readOnly(path: string) {
  const { modules } = readLora(path)
  expect([...modules.keys()]).toEqual([module])
  return modules.get(module)
}

describe('a LoRA of another trainer is read under the names of the released checkpoint:', () => {
  const flat = `lora_unet_${module.replaceAll('.', '_')}`

  it.each([
    ['without a prefix', `${module}.lora_A.weight`, `${module}.lora_B.weight`],
    ['diffusers', `transformer.${module}.lora_A.weight`, `transformer.${module}.lora_B.weight`],
    [
      'the prefix of checkpoints',
      `model.diffusion_model.${module}.lora_A.weight`,
      `model.diffusion_model.${module}.lora_B.weight`,
    ],
    ['PEFT', `base_model.model.${module}.lora_A.weight`, `base_model.model.${module}.lora_B.weight`],
    [
      'PEFT around a wrapped model',
      `base_model.model.module.${module}.lora_A.weight`,
      `base_model.model.module.${module}.lora_B.weight`,
    ],
    ['the default adapter of PEFT', `${module}.lora_A.default.weight`, `${module}.lora_B.default.weight`],
    ['a named adapter of PEFT', `pipe.dit.${module}.lora_A.radio-2.weight`, `pipe.dit.${module}.lora_B.radio-2.weight`],
    ['down and up', `diffusion_model.${module}.lora_down.weight`, `diffusion_model.${module}.lora_up.weight`],
    ['kohya', `${flat}.lora_down.weight`, `${flat}.lora_up.weight`],
    [
      'LyCORIS',
      `${flat.replace('lora_unet', 'lycoris')}.lora_down.weight`,
      `${flat.replace('lora_unet', 'lycoris')}.lora_up.weight`,
    ],
    ['old diffusers', `transformer.${module}.lora.down.weight`, `transformer.${module}.lora.up.weight`],
    [
      'attention processors of diffusers',
      `${module.replace('.to_q', '.processor.to_q')}_lora.down.weight`,
      `${module.replace('.to_q', '.processor.to_q')}_lora.up.weight`,
    ],
  ])('%s', (_, nameA, nameB) => {
    expect(readOnly(fileWith({ [nameB]: b, [nameA]: a }))).toEqual({ rank: 2, inputs: 3, outputs: 1, a, b })
  })

  it.each([
    'transformer_blocks.47.audio_attn2.to_out.0',
    'transformer_blocks.0.audio_ff.net.0.proj',
    'transformer_blocks.12.audio_ff.net.2',
    'transformer_blocks.1.attn1.to_k',
    'transformer_blocks.1.audio_to_video_attn.to_gate_logits',
    'transformer_blocks.1.ff.net.0.proj',
    'audio_embeddings_connector.transformer_1d_blocks.3.attn1.to_q',
    'audio_adaln_single.emb.timestep_embedder.linear_1',
    'audio_prompt_adaln_single.linear',
    'audio_patchify_proj',
  ])('underscores for the dots of %s', (layer) => {
    for (const prefix of ['lora_unet_', 'lora_unet_diffusion_model_', 'lora_transformer_']) {
      const flat = prefix + layer.replaceAll('.', '_')
      const { modules } = readLora(fileWith({ [`${flat}.lora_down.weight`]: a, [`${flat}.lora_up.weight`]: b }))
      expect([...modules.keys()]).toEqual([layer])
    }
  })
})

describe('the alpha of another trainer is divided by the rank and multiplied into B:', () => {
  const plain = { [keys.a]: a, [keys.b]: b }
  const peft = { [`base_model.model.${module}.lora_A.weight`]: a, [`base_model.model.${module}.lora_B.weight`]: b }
  const adapterMetadata = (config: object) => ({ lora_adapter_metadata: JSON.stringify(config) })
  const doubled = Float32Array.of(1, -2)

  it('a tensor of the layer', () => {
    expect(readOnly(fileWith({ ...plain, [`diffusion_model.${module}.alpha`]: [4] }))?.b).toEqual(doubled)
    expect(readOnly(fileWith({ ...plain, [`diffusion_model.${module}.alpha`]: [2] }))?.b).toEqual(b)
  })

  it.each<[what: string, config: object, expected: Float32Array]>([
    ['by the name of the component', { 'transformer.r': 2, 'transformer.lora_alpha': 4 }, doubled],
    ['without it', { r: 2, lora_alpha: 4 }, doubled],
    ['divided by the root of the rank', { lora_alpha: 2 * Math.SQRT2, use_rslora: true }, doubled],
    ['for a single layer', { lora_alpha: 2, alpha_pattern: { 'audio_attn1.to_q': 4 } }, doubled],
    ['for another layer', { lora_alpha: 2, alpha_pattern: { 'audio_attn1.to_k': 4 } }, b],
    ['not given', { r: 2 }, b],
  ])('in the metadata of diffusers, %s', (_, config, expected) => {
    const factor = readOnly(fileWith(plain, { metadata: adapterMetadata(config) }))?.b ?? []
    expect([...factor]).toEqual([...expected].map((value) => expect.closeTo(value, 6)))
  })

  it('in adapter_config.json beside the file of PEFT', () => {
    const path = join(mkdtempSync(join(folder, 'peft-')), 'adapter_model.safetensors')
    fileWith(peft, { path })
    expect(readOnly(path)?.b).toEqual(b)
    writeFileSync(join(dirname(path), 'adapter_config.json'), JSON.stringify({ r: 2, lora_alpha: 4 }))
    expect(readOnly(path)?.b).toEqual(doubled)
  })

  it('once: a LoRA that was read and written again has no alpha left', () => {
    const lora = readLora(fileWith(plain, { metadata: { ...adapterMetadata({ lora_alpha: 4 }), rank: '2' } }))
    const again = newPath()
    writeLora(again, lora)
    expect(readOnly(again)?.b).toEqual(doubled)
    expect(readLora(again).metadata).toEqual({ rank: '2' })
  })

  it.each<[metadata: Record<string, string>, sentence: string]>([
    [adapterMetadata({ lora_alpha: 'auto' }), 'has the lora_alpha "auto"'],
    [adapterMetadata({ lora_alpha: 4, use_dora: true }), 'it is a DoRA'],
    [adapterMetadata({ lora_alpha: 4, alpha_pattern: { '.*to_q': 1 } }), 'alphas for a pattern of layers'],
    [{ lora_adapter_metadata: '[' }, 'is not a JSON object'],
  ])('refused in metadata such as %j', (metadata, sentence) =>
    expect(() => readLora(fileWith(plain, { metadata }))).toThrow(sentence),
  )

  it('refused when it is not a number', () => {
    const alpha = `diffusion_model.${module}.alpha`
    expect(() => readLora(fileWith({ ...plain, [alpha]: [Number.NaN] }))).toThrow(`${alpha} is NaN`)
    expect(() => readLora(fileWith({ ...plain, [alpha]: [1, 2] }))).toThrow(`${alpha} has the shape [1,2]`)
  })
})

describe('a file that is no plain LoRA is refused as what it is:', () => {
  const plain = { [keys.a]: a, [keys.b]: b }
  const layer = `diffusion_model.${module}`
  const reasonOf = (tensors: Record<string, ArrayLike<number>>, options = {}) => {
    try {
      readLora(fileWith(tensors, options))
    } catch (error) {
      expect(error).toBeInstanceOf(UserError)
      return `${(error as UserError).message}; ${(error as UserError).hint}`
    }
    return 'it was read'
  }

  it.each<[what: string, tensors: Record<string, ArrayLike<number>>, reason: RegExp]>([
    ['a DoRA of LyCORIS', { ...plain, [`${layer}.dora_scale`]: [1] }, /is a DoRA.*dora_scale; .*as a plain LoRA/],
    ['a DoRA of diffusers', { ...plain, [`${layer}.lora_magnitude_vector`]: [1] }, /is a DoRA/],
    ['a DoRA of PEFT', { ...plain, [`${layer}.lora_magnitude_vector.default.weight`]: [1] }, /is a DoRA/],
    ['a LoHa', { [`${layer}.hada_w1_a`]: a, [`${layer}.hada_w1_b`]: b }, /is a LoHa/],
    ['a LoKr', { [`lycoris_${module.replaceAll('.', '_')}.lokr_w1`]: a }, /is a LoKr/],
    ['an OFT', { [`${layer}.oft_blocks`]: a }, /is an OFT/],
    ['a LoRA of convolutions', { [`${layer}.lora_down.weight`]: a, [`${layer}.lora_mid.weight`]: a }, /lora_mid/],
    ['full weights', { ...plain, 'diffusion_model.audio_patchify_proj.diff': a }, /full weights \(\.diff\)/],
    ['full biases', { ...plain, 'diffusion_model.audio_patchify_proj.diff_b': b }, /full weights \(\.diff\)/],
    ['trained biases', { ...plain, [`${layer}.lora_B.bias`]: [1] }, /also trains biases/],
    [
      'an adapter with its model',
      { ...plain, [`${layer}.base_layer.weight`]: a },
      /weights of the model as well.*; save only/,
    ],
    [
      'a checkpoint',
      { [`model.${layer}.weight`]: a, 'vocoder.conv_pre.weight': a },
      /checkpoint of a whole model; .*--model/,
    ],
    [
      'the state of a run',
      { ...plain, [`first.${keys.a}`]: a },
      /state of a training run.*; use lora.safetensors of the same run/,
    ],
    ['two adapters', { ...plain, [`${module}.lora_A.second.weight`]: a }, /two tensors of the same meaning/],
    [
      'an image LoRA of kohya',
      {
        'lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight': a,
        'lora_unet_down_blocks_0_attentions_0_proj_in.lora_up.weight': b,
      },
      /made for an image model/,
    ],
    [
      'an image LoRA of FLUX',
      {
        'transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight': a,
        'transformer.single_transformer_blocks.0.attn.to_q.lora_B.weight': b,
      },
      /made for an image model/,
    ],
    [
      'an image LoRA of SDXL',
      {
        'unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight': a,
        'unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.lora_B.weight': b,
      },
      /made for an image model/,
    ],
    [
      'a LoRA of another video model',
      {
        'diffusion_model.blocks.0.self_attn.q.lora_A.weight': a,
        'diffusion_model.blocks.0.self_attn.q.lora_B.weight': b,
      },
      /made for another model: LTX-2 has no layer blocks.0.self_attn.q; choose a LoRA/,
    ],
  ])('%s', (_, tensors, reason) => expect(reasonOf(tensors)).toMatch(reason))

  it('a quantized LoRA', () => expect(reasonOf(plain, { dtype: 'I8' })).toMatch(/stored as I8/))
})

describe('a LoRA whose values cannot be weights is refused with the name of the layer:', () => {
  it.each([
    ['NaN in A', { [keys.a]: [1, 2, Number.NaN, 4, 5, 6], [keys.b]: b }, `${module} has a value that is not finite`],
    [
      'an infinity in B',
      { [keys.a]: a, [keys.b]: [Number.NEGATIVE_INFINITY, 1] },
      `${module} has a value that is not finite`,
    ],
    ['an infinity beside zeros', { [keys.a]: a, [keys.b]: [Number.POSITIVE_INFINITY, 0] }, 'not finite'],
    ['NaN beside a B of zeros', { [keys.a]: [Number.NaN, 2, 3, 4, 5, 6], [keys.b]: [0, 0] }, 'not finite'],
    [
      'a change of a million',
      { [keys.a]: a.map((x) => x * 1e3), [keys.b]: b.map((x) => x * 1e3) },
      'has values of up to 6.0e+3 and 1.0e+3',
    ],
    ['1e30 beside a B of zeros', { [keys.a]: a.map((x) => x * 1e30), [keys.b]: [0, 0] }, 'has values of up to'],
    [
      'an alpha that makes B too large',
      { [keys.a]: a, [keys.b]: b, [`diffusion_model.${module}.alpha`]: [1e6] },
      'has values of up to',
    ],
  ])('%s', (_, tensors, sentence) =>
    expect(() => readLora(fileWith(tensors as Record<string, ArrayLike<number>>))).toThrow(sentence),
  )

  it('but not one with strong factors', () => {
    expect(readOnly(fileWith({ [keys.a]: a, [keys.b]: b.map((x) => x * 100) }))?.b).toEqual(Float32Array.of(50, -100))
  })
})

it.each([
  ['true', true],
  ['false', false],
  ['1', undefined],
  [undefined, undefined],
])('audio_normalize %j in the metadata is parsed as %j', (audio_normalize, normalized) =>
  expect(parseLoraMetadata(audio_normalize === undefined ? {} : { audio_normalize }).normalized).toBe(normalized),
)
