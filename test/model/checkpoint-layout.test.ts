/** The same model in common file layouts: complete, audio only, split into components, in shards, in fp8. */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { float32Bytes, toFloat32 } from '../../src/formats/dtypes.ts'
import { openSafetensors, type StoredTensor, writeSafetensors } from '../../src/formats/safetensors.ts'
import { openBase } from '../../src/model/base-model.ts'
import { isAudioTensor } from '../../src/model/checkpoint-layout.ts'
import { UserError } from '../../src/platform/errors.ts'
import { goldenPath } from '../golden/golden.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-layout-'))
afterAll(() => rmSync(folder, { recursive: true }))

const whole = goldenPath('tiny-ltx-2.3.safetensors')
const stored = openSafetensors(whole)
const config = JSON.parse(stored.metadata.config as string) as Record<string, unknown>
const released = openBase({ model: whole })

let files = 0
/** Writes the chosen tensors under new names, with the given sections of the config. */
function write(
  choose: (name: string) => string | undefined,
  sections: readonly string[] = [],
  change: (name: string, tensor: StoredTensor) => [string, StoredTensor][] = (name, tensor) => [[name, tensor]],
): string {
  const tensors = [...stored.tensors.keys()].flatMap((name) => {
    const newName = choose(name)
    return newName === undefined ? [] : change(newName, stored.read(name))
  })
  const path = join(folder, `part-${files++}.safetensors`)
  const metadata =
    sections.length === 0
      ? undefined
      : { config: JSON.stringify(Object.fromEntries(sections.map((section) => [section, config[section]]))) }
  writeSafetensors(path, new Map(tensors), metadata)
  return path
}

const under = (prefix: string, instead: string) => (name: string) =>
  name.startsWith(prefix) ? instead + name.slice(prefix.length) : undefined

const either =
  (...choices: ((name: string) => string | undefined)[]) =>
  (name: string) =>
    choices.map((choose) => choose(name)).find((found) => found !== undefined)

const dit = 'model.diffusion_model.'
const soundKeys = either(under('audio_vae.', 'audio_vae.'), under('vocoder.', 'vocoder.'))
const projectionKeys = under('text_embedding_projection.', 'text_embedding_projection.')

function expectSame(model: string) {
  const base = openBase({ model })
  expect(base.fingerprint).toBe(released.fingerprint)
  expect(base.config).toEqual(released.config)
  for (const component of ['transformer', 'connector', 'textProjection', 'audioVae', 'vocoder'] as const)
    expect(base.components[component].name).toBe('')
  const name = `${dit}transformer_blocks.0.audio_attn1.to_q.weight`
  expect(base.checkpoint.read(name)).toEqual(released.checkpoint.read(name))
  base.checkpoint.close()
}

describe('the same base model is read from', () => {
  it('an audio-only pack', () =>
    expectSame(write((name) => (isAudioTensor(name) ? name : undefined), ['transformer', 'audio_vae', 'vocoder'])))

  it.each([
    ['with its full prefix', dit],
    ['with a shorter prefix', 'diffusion_model.'],
    ['without a prefix', ''],
  ])('separate files: a transformer %s, the audio VAE with the vocoder, and the text projection', (_, prefix) => {
    const parts = [
      write(under(dit, prefix), ['transformer']),
      write(soundKeys, ['audio_vae', 'vocoder']),
      write(projectionKeys),
    ]
    expectSame(parts.join(','))
    expectSame(parts.reverse().join(', '))
  })

  it('separate files without prefixes, the connector in the file of the text projection', () => {
    const connector = `${dit}audio_embeddings_connector.`
    expectSame(
      [
        write((name) => (name.startsWith(connector) ? undefined : under(dit, '')(name)), ['transformer']),
        write(under('audio_vae.', ''), ['audio_vae']),
        write(under('vocoder.', ''), ['vocoder']),
        write(either(under(connector, 'audio_embeddings_connector.'), under('text_embedding_projection.', ''))),
      ].join(','),
    )
  })

  it('a folder of separate files', () => {
    const parts = join(folder, 'parts')
    mkdirSync(parts)
    copyFileSync(write(under(dit, ''), ['transformer']), join(parts, 'dit.safetensors'))
    copyFileSync(write(soundKeys, ['audio_vae', 'vocoder']), join(parts, 'sound.safetensors'))
    copyFileSync(write(projectionKeys), join(parts, 'text.safetensors'))
    expectSame(parts)
  })

  it('a folder of shards with an index', () => {
    const shards = join(folder, 'shards')
    mkdirSync(shards)
    const isFirst = (name: string) => name.length % 2 === 0
    const sections = ['transformer', 'audio_vae', 'vocoder']
    copyFileSync(
      write((name) => (isFirst(name) ? name : undefined), sections),
      join(shards, 'a.safetensors'),
    )
    copyFileSync(
      write((name) => (isFirst(name) ? undefined : name)),
      join(shards, 'b.safetensors'),
    )
    const shardFiles = [...stored.tensors.keys()].map((name) => [
      name,
      isFirst(name) ? 'a.safetensors' : 'b.safetensors',
    ])
    writeFileSync(
      join(shards, 'diffusion_pytorch_model.safetensors.index.json'),
      JSON.stringify({ weight_map: Object.fromEntries(shardFiles) }),
    )
    expectSame(shards)
    writeFileSync(
      join(shards, 'diffusion_pytorch_model.safetensors.index.json'),
      JSON.stringify({ weight_map: { ...Object.fromEntries(shardFiles), 'not.there': 'a.safetensors' } }),
    )
    expect(() => openBase({ model: shards })).toThrow(
      /a\.safetensors has no tensor not\.there, which .*index\.json says/,
    )
  })

  it('a file with a comma in its name', () => {
    const path = join(folder, 'one,two.safetensors')
    copyFileSync(whole, path)
    expectSame(path)
  })
})

describe('an fp8 weight', () => {
  const isLarge = (name: string) => /audio_attn1\.to_q\.weight$/.test(name)
  /** Each byte is a finite E4M3 number. */
  const quantized = ({ shape, bytes }: StoredTensor): StoredTensor => ({
    dtype: 'F8_E4M3',
    shape,
    bytes: Uint8Array.from({ length: bytes.length / 2 }, (_, i) => (i * 7) % 127),
  })
  const scalar = (...values: number[]): StoredTensor => ({
    dtype: 'F32',
    shape: values.length === 1 ? [] : [values.length, 1],
    bytes: float32Bytes(Float32Array.from(values)),
  })
  const sections = ['transformer', 'audio_vae', 'vocoder']
  const read = (extra: (name: string, tensor: StoredTensor) => [string, StoredTensor][]) => {
    const path = write(
      (name) => name,
      sections,
      (name, tensor) => (isLarge(name) ? [[name, quantized(tensor)], ...extra(name, tensor)] : [[name, tensor]]),
    )
    const { components, checkpoint } = openBase({ model: path })
    const weights = components.transformer.at('transformer_blocks.0.audio_attn1.to_q')
    try {
      return weights.float32('weight', [null, null])
    } finally {
      checkpoint.close()
    }
  }
  const plain = () => read(() => [])

  it('without a scale is decoded directly', () => {
    const original = stored.read(`${dit}transformer_blocks.0.audio_attn1.to_q.weight`)
    expect(plain()).toEqual(toFloat32(quantized(original).bytes, 'F8_E4M3'))
  })

  it.each([
    ['weight_scale', (name: string) => `${name}_scale`],
    ['scale_weight', (name: string) => name.replace(/weight$/, 'scale_weight')],
  ])('with a %s is multiplied by it', (_, scaleName) => {
    const scaled = read((name) => [
      [scaleName(name), scalar(0.5)],
      [name.replace(/weight$/, 'input_scale'), scalar(3)],
    ])
    expect(scaled).toEqual(plain().map((value) => value / 2))
  })

  it('with a scale per row is multiplied row by row', () => {
    const rows = (tensor: StoredTensor) => Array.from({ length: tensor.shape[0] as number }, (_, row) => row + 1)
    const [, width = 1] = stored.tensors.get(`${dit}transformer_blocks.0.audio_attn1.to_q.weight`)?.shape ?? []
    const scaled = read((name, tensor) => [[`${name}_scale`, scalar(...rows(tensor))]])
    expect(scaled).toEqual(plain().map((value, i) => value * (Math.floor(i / width) + 1)))
  })

  it('with scales per block is refused', () => {
    expect(() => read((name) => [[`${name}_scale`, scalar(1, 2, 3)]])).toThrow(/has 3 scales for the shape \[\d+,\d+\]/)
  })
})

describe('a base model is refused', () => {
  const refusal = (model: string) => {
    try {
      openBase({ model })
    } catch (error) {
      if (error instanceof UserError) return `${error.message} / ${error.hint}`
      throw error
    }
    return 'no UserError was thrown'
  }

  it('when components are missing, with the names of all of them', () => {
    const transformer = write(under(dit, ''), ['transformer'])
    expect(refusal(transformer)).toMatch(
      /^part-\d+\.safetensors has no text projection, audio VAE encoder and no audio VAE decoder \/ add the files that contain them/,
    )
    expect(refusal(`${transformer},${write(projectionKeys)}`)).toMatch(
      /^part-\d+\.safetensors \+ part-\d+\.safetensors has no audio VAE encoder and no audio VAE decoder \//,
    )
    expect(refusal(write((name) => (name.startsWith('vae.') ? name : undefined), ['transformer']))).toMatch(
      /has no audio stream, .* and no audio VAE decoder \/ use a checkpoint of LTX-2\.3 or LTX-2\.5/,
    )
  })

  it('when the config has no section for a component', () => {
    const parts = [write(under(dit, ''), ['transformer']), write(soundKeys), write(projectionKeys)]
    expect(refusal(parts.join(','))).toMatch(/the model config in .* is not that of LTX-2\.3 or LTX-2\.5: audio_vae/)
  })

  it('when two files contain the same tensor', () => {
    const part = write(projectionKeys)
    expect(refusal(`${whole},${part}`)).toMatch(
      /tiny-ltx-2\.3\.safetensors and part-\d+\.safetensors both hold the tensor/,
    )
  })

  it('when its tensors are those of LTX-2.0', () => {
    const path = write((name) => name.replace('audio_aggregate_embed', 'aggregate_embed'), ['transformer'])
    expect(refusal(path)).toMatch(/is an LTX-2\.0 checkpoint \(19B\), which has another text path and another vocoder/)
  })

  it.each([
    [{ model_version: '2.0.1' }, 'LTX-2.0'],
    [{ model_version: '2.6.0-rc1' }, 'LTX-2.6'],
  ])('when its metadata are %o', (metadata, release) => {
    const path = join(folder, 'release.safetensors')
    const tensors = new Map([...stored.tensors.keys()].map((name) => [name, stored.read(name)]))
    writeSafetensors(path, tensors, { config: stored.metadata.config as string, ...metadata })
    expect(refusal(path)).toContain(`release.safetensors is an ${release} checkpoint`)
  })

  it('when its folder is empty or a file is missing', () => {
    mkdirSync(join(folder, 'nothing'))
    expect(refusal(join(folder, 'nothing'))).toMatch(/nothing holds no safetensors files/)
    expect(refusal(`${whole},${join(folder, 'gone.safetensors')}`)).toMatch(/gone\.safetensors cannot be opened/)
  })
})
