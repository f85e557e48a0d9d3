/** The files of LTX-2.5, one for each component: recognized by what they hold, and refused in one sentence where they do not belong together. */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { openSafetensors, type StoredTensor, writeSafetensors } from '../../src/formats/safetensors.ts'
import type { Metadata } from '../../src/formats/safetensors-header.ts'
import { type BaseOptions, describeBase, openBase } from '../../src/model/base-model.ts'
import { openTextEncoder } from '../../src/model/text/text-encoder.ts'
import { loadTokenizer } from '../../src/model/text/tokenizer.ts'
import { UserError } from '../../src/platform/errors.ts'
import { ltx23, ltx25 } from '../golden/golden.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-split-'))
afterAll(() => rmSync(folder, { recursive: true }))

const [transformer = '', audio = ''] = ltx25.base.model.split(',')
const { textEncoder } = ltx25.base
const original = openBase(ltx25.base)

type Change = {
  metadata?: (metadata: Metadata) => Metadata
  /** The new name and tensor of each tensor; undefined leaves it out. */
  tensor?: (name: string, tensor: StoredTensor) => [string, StoredTensor] | undefined
}

let copies = 0
/** A copy of a file under a name that says nothing. */
function copyOf(path: string, { metadata = (same) => same, tensor = (name, same) => [name, same] }: Change = {}) {
  const file = openSafetensors(path)
  const tensors = [...file.tensors.keys()].flatMap((name) => {
    const changed = tensor(name, file.read(name))
    return changed ? [changed] : []
  })
  const copy = join(folder, `${copies++}.safetensors`)
  writeSafetensors(copy, new Map(tensors), metadata(file.metadata))
  file.close()
  return copy
}

const without = (pattern: RegExp): Change => ({
  tensor: (name, tensor) => (pattern.test(name) ? undefined : [name, tensor]),
})
const withConfig = (change: object): Change => ({
  metadata: ({ config = '', ...metadata }) => {
    const { transformer, ...sections } = JSON.parse(config)
    return { ...metadata, config: JSON.stringify({ ...sections, transformer: { ...transformer, ...change } }) }
  },
})

const float: StoredTensor = { dtype: 'F32', shape: [1], bytes: new Uint8Array(4) }

/** Other files of a download. */
function otherFiles(to: string) {
  writeSafetensors(join(to, 'video.safetensors'), new Map([['decoder.conv_in.conv.weight', float]]), {
    config: JSON.stringify({ vae: {} }),
    model_version: '2.5.0',
  })
  writeSafetensors(join(to, 'head.safetensors'), new Map([['duration_head.linear.weight', float]]), {
    config: JSON.stringify({ transformer: { cross_attention_dim: 4096 } }),
  })
  const lora = 'diffusion_model.transformer_blocks.0.audio_attn1.to_q.lora_A.weight'
  writeSafetensors(join(to, 'distilled-lora.safetensors'), new Map([[lora, float]]))
}

function expectSame(options: BaseOptions) {
  const base = openBase(options)
  expect(base.release).toBe('2.5')
  expect(base.version).toBe('2.5.0')
  expect(base.fingerprint).toBe(original.fingerprint)
  expect(base.config).toEqual(original.config)
  const name = 'text_embedding_projection.audio_aggregate_embed.weight'
  expect(base.checkpoint.read(name)).toEqual(original.checkpoint.read(name))
  base.close()
  return base
}

describe('a base of LTX-2.5 is opened from', () => {
  it('its two files and the text encoder, in any order and under any name', () => {
    const [a, b, c] = [copyOf(transformer), copyOf(audio), copyOf(textEncoder)]
    expectSame({ model: `${a},${b}`, textEncoder: c })
    expectSame({ model: `${b},${a}`, textEncoder: c })
    expectSame({ model: `${c},${a},${b}` })
  })

  it('the folder of the download, whose other files are named as not needed', () => {
    const download = join(folder, 'LTX-2.5')
    for (const part of ['diffusion_models', 'text_encoders', 'vae', 'loras']) {
      mkdirSync(join(download, part), { recursive: true })
      if (part !== 'loras') cpSync(ltx25.path(`base/${part}`), join(download, part), { recursive: true })
    }
    otherFiles(join(download, 'loras'))
    const base = expectSame({ model: download })
    expect(base.textEncoder).toBe(join(download, 'text_encoders', basename(textEncoder)))
    expect(base.notNeeded).toEqual([
      'distilled-lora.safetensors (LoRA)',
      'head.safetensors (duration head)',
      'video.safetensors (VAE of another stream)',
    ])
    expect(describeBase(base)).toContain('LTX-2.5')
    expect(describeBase(base)).toContain(`text encoder: ${base.textEncoder}`)
    expect(describeBase(base)).toContain('not needed: distilled-lora.safetensors (LoRA), ')
  })

  it('one folder with all files, and a quantized copy of one of them', () => {
    const flat = join(folder, 'flat')
    mkdirSync(flat)
    for (const path of [transformer, audio, textEncoder]) cpSync(path, join(flat, basename(path)))
    cpSync(quantized(transformer, 'I8', /audio_ff.*weight$/), join(flat, 'int8.safetensors'))
    expect(expectSame({ model: flat }).notNeeded).toEqual(['int8.safetensors (quantized)'])
  })

  it('files without the text encoder, with the same fingerprint', () => {
    const base = openBase({ model: ltx25.base.model })
    expect(base.fingerprint).toBe(original.fingerprint)
    expect(base.textEncoder).toBeUndefined()
    base.close()
  })

  it('one file with everything, and the folder of a Gemma 4', () => {
    const [parts, projection] = [ltx25.base.model.split(',').map(openSafetensors), openSafetensors(textEncoder)]
    const names = [...projection.tensors.keys()].filter((name) => name.startsWith('text_embedding_projection.'))
    const tensors = [
      ...parts.flatMap((part) => [...part.tensors.keys()].map((name) => [name, part.read(name)] as const)),
      ...names.map((name) => [name, projection.read(name)] as const),
    ]
    const config = Object.assign({}, ...parts.map(({ metadata }) => JSON.parse(metadata.config as string)))
    const unified = join(folder, 'unified.safetensors')
    writeSafetensors(unified, new Map(tensors), { ...parts[0]?.metadata, config: JSON.stringify(config) })
    const gemma = gemmaFolder()
    const base = openBase({ model: unified, textEncoder: gemma })
    expect(base.release).toBe('2.5')
    const captions = ['soft rain', '<bos>soft rain']
    const [packed, unpacked] = [openTextEncoder(textEncoder), openTextEncoder(gemma)]
    expect(captions.map(loadTokenizer(unpacked))).toEqual(captions.map(loadTokenizer(packed)))
    expect(unpacked.config).toEqual(packed.config)
    expect(() => openBase({ model: ltx25.base.model, textEncoder: gemma })).toThrow(
      /has no text projection, and neither has .*transformer.*safetensors \+ /,
    )
  })
})

/** A Gemma 4 as the library saves it. */
function gemmaFolder(): string {
  const path = join(folder, 'gemma4')
  mkdirSync(path)
  const packed = openSafetensors(textEncoder)
  const tower = [...packed.tensors.keys()].filter((name) => name.startsWith('model.'))
  const renamed = tower.map((name) => [name.replace(/^model\./, 'model.language_model.'), packed.read(name)] as const)
  writeSafetensors(join(path, 'model.safetensors'), new Map(renamed))
  writeFileSync(join(path, 'config.json'), packed.metadata.gemma_config as string)
  writeFileSync(join(path, 'tokenizer.json'), packed.read('tokenizer_json').bytes)
  writeFileSync(join(path, 'tokenizer_config.json'), packed.read('hf_asset__tokenizer_config.json').bytes)
  packed.close()
  return path
}

/** A copy whose matching weights are stored as integers of one byte. */
const quantized = (path: string, dtype: 'I8' | 'U8', pattern: RegExp) =>
  copyOf(path, {
    tensor: (name, tensor) =>
      pattern.test(name)
        ? [name, { dtype, shape: tensor.shape, bytes: tensor.bytes.slice(0, tensor.bytes.length / 2) }]
        : [name, tensor],
  })

function refusal(options: BaseOptions): string {
  try {
    openBase(options).close()
  } catch (error) {
    if (error instanceof UserError) return `${error.message} / ${error.hint}`
    throw error
  }
  return 'nothing was refused'
}

it.runIf(existsSync('/proc/self/fd'))('opening a base leaves no file open once it is closed', () => {
  const openFiles = () => readdirSync('/proc/self/fd').length
  const open = (options: BaseOptions) => openBase(options).close()
  const all = () => {
    for (const options of [ltx23.base, ltx25.base, { model: ltx25.base.model }]) open(options)
    refusal({ model: ltx25.base.model, textEncoder: ltx23.base.textEncoder })
    refusal({ model: transformer })
  }
  all()
  const before = openFiles()
  all()
  expect(openFiles()).toBe(before)
})

it('a text encoder that is chosen replaces those among the files', () => {
  const chosen = copyOf(textEncoder)
  const base = openBase({ model: `${ltx25.base.model},${textEncoder},${copyOf(textEncoder)}`, textEncoder: chosen })
  expect(base.textEncoder).toBe(chosen)
  base.close()
})

it('a transformer without the name of its text encoder is at fault itself', () => {
  const anonymous = copyOf(transformer, { metadata: ({ gemma_source_checkpoint: _, ...rest }) => rest })
  expect(refusal({ model: `${anonymous},${audio}`, textEncoder })).toContain('use another copy of the transformer')
})

describe('missing files are listed by component', () => {
  it.each<[given: string, model: string, message: RegExp]>([
    [
      'the transformer',
      transformer,
      /transformer.* has no audio VAE encoder and no audio VAE decoder \/ LTX-2\.5 has one file for each/,
    ],
    [
      'the audio VAE',
      audio,
      /audio-vae.* has no audio stream and no audio connector \/ LTX-2\.5 has one file for each/,
    ],
    [
      'the text encoder',
      textEncoder,
      /holds only a text encoder \/ also name the files of the transformer and of the audio VAE/,
    ],
  ])('when only %s is there', (_, model, message) => expect(refusal({ model })).toMatch(message))
})

describe('files that do not belong together are refused:', () => {
  const model = ltx25.base.model
  const config = (change: (config: Record<string, unknown>) => object): Change => ({
    metadata: ({ gemma_config = '', ...metadata }) => ({
      ...metadata,
      gemma_config: JSON.stringify(change(JSON.parse(gemma_config))),
    }),
  })

  it.each<[what: string, options: () => BaseOptions, message: RegExp]>([
    [
      'LTX-2.5 with the text encoder of LTX-2.3',
      () => ({ model, textEncoder: ltx23.base.textEncoder }),
      /^tiny-gemma3 is a Gemma 3, which belongs to LTX-2\.3, but .* is LTX-2\.5 \/ pass the packed file/,
    ],
    [
      'LTX-2.3 with the text encoder of LTX-2.5',
      () => ({ model: ltx23.base.model, textEncoder }),
      /is a Gemma 4, which belongs to LTX-2\.5, but tiny-ltx-2\.3\.safetensors is LTX-2\.3 \/ pass the folder of Gemma 3/,
    ],
    [
      "Google's own Gemma 4",
      () => ({
        model,
        textEncoder: copyOf(
          textEncoder,
          config(({ gemma_version: _, ...rest }) => rest),
        ),
      }),
      /is Google's own Gemma 4, without a gemma_version; .* needs the fine-tuned gemma4-tiny-ltx-test/,
    ],
    [
      'another version of it',
      () => ({
        model,
        textEncoder: copyOf(
          textEncoder,
          config((rest) => ({ ...rest, gemma_version: 'gemma4-12b-ltx-v2' })),
        ),
      }),
      /is gemma4-12b-ltx-v2, but .* needs gemma4-tiny-ltx-test/,
    ],
    [
      'a transformer that does not name its text encoder',
      () => ({
        model: `${copyOf(transformer, { metadata: ({ gemma_source_checkpoint: _, ...rest }) => rest })},${audio}`,
        textEncoder,
      }),
      /does not name the text encoder that it was trained with/,
    ],
    [
      'parts of two releases',
      () => ({
        model: `${transformer},${copyOf(audio, { metadata: (rest) => ({ ...rest, model_version: '2.3.0' }) })}`,
      }),
      /is of LTX-2\.5, but .*\.safetensors of LTX-2\.3/,
    ],
    [
      'two transformers',
      () => ({ model: `${transformer},${copyOf(transformer)},${audio}` }),
      /both hold a transformer \/ name one of them with --model/,
    ],
    [
      'two text encoders',
      () => ({ model: `${model},${textEncoder},${copyOf(textEncoder)}` }),
      /are both text encoders/,
    ],
    [
      'a transformer of int8',
      () => ({ model: `${quantized(transformer, 'I8', /audio_ff.*weight$/)},${audio}` }),
      /holds quantized weights.*audio_ff.* is stored as I8 \/ use the bfloat16 file, ltx-2\.5-22b-dev-transformer-bf16/,
    ],
    [
      'a transformer of nvfp4',
      () => ({ model: `${quantized(transformer, 'U8', /audio_ff.*weight$/)},${audio}` }),
      /is stored as U8 \/ use the bfloat16 file, ltx-2\.5-22b-dev-transformer-bf16/,
    ],
    [
      'an audio VAE of int8',
      () => ({ model: `${transformer},${quantized(audio, 'I8', /encoder\.conv_in\.conv\.weight$/)}` }),
      /use the bfloat16 file, ltx-2\.5-audio-vae-bf16/,
    ],
    [
      'a text encoder of int8',
      () => ({ model, textEncoder: quantized(textEncoder, 'I8', /layers\.0\.mlp.*weight$/) }),
      /use the bfloat16 file, gemma4-12b-with-proj-ltx-2\.5-bf16/,
    ],
  ])('%s', (_, options, message) => expect(refusal(options())).toMatch(message))

  it('but a quantized video stream is no obstacle', () => {
    const video = quantized(transformer, 'I8', /transformer_blocks\.0\.ff\.net.*weight$/)
    expect(openBase({ model: `${video},${audio}` }).release).toBe('2.5')
  })
})

describe('a packed text encoder is refused', () => {
  const model = ltx25.base.model
  it.each<[what: string, change: Change, message: RegExp]>([
    [
      'without a layer_scalar',
      without(/layers\.3\.layer_scalar$/),
      /has no layers\.3\.layer_scalar \/ programs that save only trained parameters leave these out/,
    ],
    ['without its config', { metadata: ({ gemma_config: _, ...rest }) => rest }, /has no gemma_config in its metadata/],
    [
      'with fewer layers than its config lists',
      without(/layers\.11\./),
      /has 11 layers, but gemma_config in .* lists 12/,
    ],
    ['without a text projection', without(/^text_embedding_projection\./), /has no text projection/],
  ])('%s', (_, change, message) => {
    expect(refusal({ model, textEncoder: copyOf(textEncoder, change) })).toMatch(message)
  })

  it.each(['tokenizer_json', 'hf_asset__tokenizer_config.json'])('without %s', (tensor) => {
    const incomplete = copyOf(textEncoder, without(new RegExp(`^${tensor}$`)))
    expect(refusal({ model, textEncoder: incomplete })).toMatch(new RegExp(`contains no tokenizer.* \\(${tensor}\\)`))
  })

  it('but it may be named by the folder that holds it alone', () => {
    expect(openTextEncoder(ltx25.path('base/text_encoders')).config).toEqual(openTextEncoder(textEncoder).config)
  })

  it('but its tokenizer may be stored as signed bytes, and its settings as metadata', () => {
    const settings = openSafetensors(textEncoder).read('hf_asset__tokenizer_config.json').bytes
    const repacked = copyOf(textEncoder, {
      metadata: (rest) => ({ ...rest, 'hf_asset__tokenizer_config.json': new TextDecoder().decode(settings) }),
      tensor: (name, tensor) => {
        if (name === 'hf_asset__tokenizer_config.json') return undefined
        return [name, name === 'tokenizer_json' ? { ...tensor, dtype: 'I8' } : tensor]
      },
    })
    const [one, other] = [openTextEncoder(textEncoder), openTextEncoder(repacked)]
    expect(loadTokenizer(other)('soft rain')).toEqual(loadTokenizer(one)('soft rain'))
  })
})

describe('the fingerprint of a text encoder, by which captions are cached,', () => {
  const fingerprintOf = (change: Change) => openTextEncoder(copyOf(textEncoder, change)).fingerprint()
  const same = openTextEncoder(textEncoder).fingerprint()
  const flipped = (pattern: RegExp): Change => ({
    tensor: (name, tensor) => [
      name,
      pattern.test(name) ? { ...tensor, bytes: tensor.bytes.map((byte) => byte ^ 1) } : tensor,
    ],
  })

  it.each([
    ['a weight of its tower', /layers\.4\.mlp\.up_proj\.weight$/],
    ['a layer_scalar', /layers\.4\.layer_scalar$/],
    ['its text projection', /audio_aggregate_embed\.bias$/],
  ])('depends on %s', (_, tensor) => expect(fingerprintOf(flipped(tensor))).not.toBe(same))

  it('depends on every byte of its tokenizer', () => {
    const blank: Change = {
      tensor: (name, { bytes, ...tensor }) => {
        const spaced = Uint8Array.from(bytes)
        if (name === 'tokenizer_json') spaced[bytes.lastIndexOf(0x7d)] = 0x20 // the last brace
        return [name, { ...tensor, bytes: spaced }]
      },
    }
    expect(fingerprintOf(blank)).not.toBe(same)
  })

  it.each([
    ['what it says about images', flipped(/^(vision_model|multi_modal_projector|audio_projector)\./)],
    ['the text projection of video', flipped(/video_aggregate_embed/)],
    [
      'tensors that are left out',
      without(/^(vision_model|multi_modal_projector|audio_projector)\.|video_aggregate_embed/),
    ],
  ])('does not depend on %s', (_, change) => expect(fingerprintOf(change)).toBe(same))

  it('is not part of the fingerprint of the base', () => {
    const other = copyOf(textEncoder, flipped(/audio_aggregate_embed\.bias$/))
    expect(openBase({ ...ltx25.base, textEncoder: other }).fingerprint).toBe(original.fingerprint)
  })
})

describe('a switch of the config that its tensors contradict', () => {
  const flags = ltx25.onlyFileIn('base-flags')

  it.each<[key: string, tensor: string]>([
    ['audio_ff_bias', 'transformer_blocks.0.audio_ff.net.0.proj.bias'],
    ['connector_ff_bias', 'audio_embeddings_connector.transformer_1d_blocks.0.ff.net.0.proj.bias'],
    ['use_prompt_adaln_single', 'audio_prompt_adaln_single.emb.timestep_embedder.linear_1.weight'],
  ])('%s is refused with both facts', (key, tensor) => {
    const name = `model.diffusion_model.${tensor}`
    const off = copyOf(transformer, withConfig({ [key]: false }))
    expect(refusal({ model: `${off},${audio}` })).toContain(`says ${key} = false, but there is a tensor ${name}`)
    const on = copyOf(flags, withConfig({ [key]: true }))
    expect(refusal({ model: `${on},${audio}` })).toContain(`says ${key} = true, but there is no tensor ${name}`)
    const absent = copyOf(flags, withConfig({ [key]: undefined }))
    expect(refusal({ model: `${absent},${audio}` })).toContain(`says ${key} = true, but there is no tensor ${name}`)
  })

  it('is also found in the last block, and for gates of attention', () => {
    const incomplete = copyOf(transformer, without(/blocks\.2\.audio_ff\.net\.2\.bias$/))
    expect(refusal({ model: `${incomplete},${audio}` })).toMatch(
      /audio_ff_bias = true, but there is no tensor .*blocks\.2\.audio_ff\.net\.2\.bias/,
    )
    const ungated = copyOf(transformer, without(/blocks\.1\.audio_attn2\.to_gate_logits\.weight$/))
    expect(refusal({ model: `${ungated},${audio}` })).toMatch(
      /apply_gated_attention = true, but there is no tensor .*blocks\.1\.audio_attn2/,
    )
  })

  it('and another normalization of hidden states is refused', () => {
    const other = copyOf(transformer, withConfig({ text_encoder_norm_type: 'per_layer' }))
    expect(refusal({ model: `${other},${audio}` })).toContain('text_encoder_norm_type')
    expect(original.config.transformer.text_encoder_norm_type).toBe('PER_TOKEN_RMS')
  })
})

describe('what a base is made of follows from its tensors', () => {
  const other = 'transformer'
  /** A copy of the audio file that also carries a config for a transformer, and other facts about it. */
  const carrier = () =>
    copyOf(audio, {
      metadata: ({ config = '', ...rest }) => {
        const { transformer: section } = JSON.parse(openMetadata(transformer).config as string)
        const foreign = { ...section, positional_embedding_theta: 777 }
        return {
          ...rest,
          gemma_source_checkpoint: '{}',
          config: JSON.stringify({ ...JSON.parse(config), [other]: foreign }),
        }
      },
    })

  it('each section of the config comes from the file with its tensors, in any order of the files', () => {
    const foreign = carrier()
    for (const model of [`${transformer},${foreign}`, `${foreign},${transformer}`])
      expect(openBase({ model, textEncoder }).config).toEqual(original.config)
  })

  it('a config that is not JSON or names a key twice is refused in any of the files', () => {
    const broken = copyOf(audio, { metadata: (rest) => ({ ...rest, config: '{' }) })
    expect(refusal({ model: `${transformer},${broken}` })).toContain('is not JSON')
    const twice = copyOf(audio, { metadata: (rest) => ({ ...rest, config: '{"a": 1, "a": 2}' }) })
    expect(refusal({ model: `${transformer},${twice}` })).toContain('has a twice')
  })

  it.each([
    ['num_layers', 2, 3],
    ['connector_num_layers', 1, 2],
  ])('%s = %i is refused when there are %i blocks', (key, listed, stored) => {
    const fewer = copyOf(transformer, withConfig({ [key]: listed }))
    expect(refusal({ model: `${fewer},${audio}` })).toContain(`says ${key} = ${listed}, but there are ${stored} blocks`)
  })

  it('the fingerprint depends on the config', () => {
    const theta = copyOf(transformer, withConfig({ positional_embedding_theta: 777 }))
    expect(openBase({ model: `${theta},${audio}` }).fingerprint).not.toBe(original.fingerprint)
    const settings: Change = {
      metadata: ({ gemma_config = '', ...rest }) => ({ ...rest, gemma_config: gemma_config.replace('1e-06', '1e-05') }),
    }
    expect(openTextEncoder(copyOf(textEncoder, settings)).fingerprint()).not.toBe(
      openTextEncoder(textEncoder).fingerprint(),
    )
  })

  it('a value projection that the config excludes is refused', () => {
    const file = openSafetensors(textEncoder)
    const tensors = new Map([...file.tensors.keys()].map((name) => [name, file.read(name)] as const))
    tensors.set('model.layers.5.self_attn.v_proj.weight', file.read('model.layers.5.self_attn.k_proj.weight'))
    const withValues = join(folder, 'values.safetensors')
    writeSafetensors(withValues, tensors, file.metadata)
    expect(refusal({ model: ltx25.base.model, textEncoder: withValues })).toContain('says that keys are the values')
  })

  it('a LoHa and full differences are ignored as LoRAs are', () => {
    const extra = join(folder, 'with-loha')
    mkdirSync(extra)
    for (const path of [transformer, audio]) cpSync(path, join(extra, basename(path)))
    for (const [i, key] of ['hada_w1_a', 'lokr_w1', 'diff'].entries())
      writeSafetensors(
        join(extra, `${i}.safetensors`),
        new Map([[`diffusion_model.transformer_blocks.0.audio_attn1.to_q.${key}`, float]]),
      )
    const base = openBase({ model: extra })
    expect(base.fingerprint).toBe(original.fingerprint)
    expect(base.notNeeded).toEqual(['0.safetensors (LoRA)', '1.safetensors (LoRA)', '2.safetensors (LoRA)'])
  })

  it.each(['3', '2', '3.0.0'])('model_version %s is refused', (version) => {
    const newer = copyOf(transformer, { metadata: (rest) => ({ ...rest, model_version: version }) })
    expect(refusal({ model: `${newer},${audio}` })).toMatch(/is an LTX-\d(\.\d)? checkpoint/)
  })
})

const openMetadata = (path: string) => {
  const file = openSafetensors(path)
  file.close()
  return file.metadata
}
