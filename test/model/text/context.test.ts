import { cpSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, it } from 'vitest'
import { openSafetensors, type StoredTensor, writeSafetensors } from '../../../src/formats/safetensors.ts'
import { readModelConfig } from '../../../src/model/config.ts'
import { encodeCaptions } from '../../../src/model/text/text-model.ts'
import { contextLength } from '../../../src/model/text/tokenizer.ts'
import { gemma4, goldenJson, goldenPath, startGoldenBackend } from '../../golden/golden.ts'

const checkpoint = openSafetensors(goldenPath('tiny-ltx-2.3.safetensors'))
const config = readModelConfig(checkpoint)
const textEncoder = goldenPath('tiny-gemma3')
const stored = openSafetensors(join(textEncoder, 'model.safetensors'))
const layers = goldenJson('tiny-gemma3/config.json').text_config.num_hidden_layers as number
const encode = (folder: string, captions: string[], onProgress?: (done: number, total: number) => void) =>
  encodeCaptions({ checkpoint, config, textEncoder: folder }, captions, onProgress && { onProgress })

beforeAll(startGoldenBackend)

describe('encoding captions', () => {
  it('returns a context of fixed length that does not depend on other captions', async () => {
    const [alone] = await encode(textEncoder, ['soft rain'])
    const [, together] = await encode(textEncoder, ['a much longer caption about a warm voice', 'soft rain'])
    expect(alone?.length).toBe(contextLength * config.transformer.audio_cross_attention_dim)
    expect(together).toEqual(alone)
  })

  it('leaks no tensors', async () => {
    await encode(textEncoder, ['soft rain'])
    const before = tf.memory().numTensors
    await encode(textEncoder, ['soft rain', ''])
    expect(tf.memory().numTensors).toBe(before)
  })

  it('reports the progress of every layer and caption', async () => {
    const seen: number[] = []
    await encode(textEncoder, ['soft rain', ''], (done, total) => {
      expect(total).toBe(layers + 2)
      seen.push(done)
    })
    expect(seen).toEqual(Array.from({ length: layers + 2 }, (_, i) => i + 1))
  })

  it('does not load the text encoder for no captions', async () => expect(await encode('/nowhere', [])).toEqual([]))
})

describe('a text encoder gives the same contexts', () => {
  it.each(['model.language_model.', 'model.'])('when its tensor names begin with %s', async (prefix) => {
    const folder = copyWith((name) => name.replace('language_model.model.', prefix))
    expect(await encode(folder, ['soft rain'])).toEqual(await encode(textEncoder, ['soft rain']))
  })

  it('when it is split into several files', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-shards-'))
    cpSync(textEncoder, folder, { recursive: true, filter: (path) => !path.endsWith('.safetensors') })
    const names = [...stored.tensors.keys()]
    const weightMap: Record<string, string> = {}
    for (const part of [0, 1]) {
      const file = `model-0000${part + 1}-of-00002.safetensors`
      const mine = names.filter((_, i) => i % 2 === part)
      for (const name of mine) weightMap[name] = file
      writeSafetensors(join(folder, file), new Map(mine.map((name) => [name, stored.read(name)])))
    }
    writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify({ weight_map: weightMap }))
    expect(await encode(folder, ['soft rain'])).toEqual(await encode(textEncoder, ['soft rain']))
  })
})

describe('a text encoder is refused', () => {
  it('when its width does not match the checkpoint', async () => {
    const width = config.transformer.caption_channels
    const other = gemma4.path('gemma4-tiny.safetensors')
    await expect(encode(other, ['x'])).rejects.toThrow(new RegExp(`has the width 40, .* needs ${width}$`))
  })

  it('when its width does not match its own config', async () => {
    const width = config.transformer.caption_channels
    const folder = copyWith((name) => name, { hidden_size: width + 16 })
    await expect(encode(folder, ['x'])).rejects.toThrow(`has the shape [551,${width}], but config.json in`)
  })

  it('when it has fewer layers than the checkpoint needs', async () => {
    const last = `layers.${layers - 1}.`
    const folder = copyWith((name) => (name.includes(last) ? undefined : name), { num_hidden_layers: layers - 1 })
    await expect(encode(folder, ['x'])).rejects.toThrow(new RegExp(`has ${layers - 1} layers, .* needs ${layers}$`))
  })

  it('when it has fewer layers than its config.json lists', async () => {
    const folder = copyWith((name) => (name.includes(`layers.${layers - 1}.`) ? undefined : name))
    await expect(encode(folder, ['x'])).rejects.toThrow(
      `has ${layers - 1} layers, but config.json in ${folder} lists ${layers}`,
    )
  })

  it('when it contains no text tower', async () => {
    const folder = copyWith((name) => (name.startsWith('language_model.') ? undefined : name))
    await expect(encode(folder, ['x'])).rejects.toThrow('has no weights of a text tower')
  })

  it('when its tokenizer has more tokens than the embedding table', async () => {
    const table = 'language_model.model.embed_tokens.weight'
    const folder = copyWith(
      (name) => name,
      {},
      (name, tensor) => (name === table ? firstRows(tensor, 100) : tensor),
    )
    await expect(encode(folder, ['soft rain'])).rejects.toThrow(
      /the tokenizer produces token \d+, .* for only 100 tokens/,
    )
  })
})

/** A copy of the text encoder with other tensor names, settings or tensors. */
function copyWith(
  rename: (name: string) => string | undefined,
  settings: object = {},
  change = (_: string, tensor: StoredTensor) => tensor,
): string {
  const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-gemma-'))
  cpSync(textEncoder, folder, { recursive: true })
  const kept = [...stored.tensors.keys()].flatMap((name) => {
    const renamed = rename(name)
    return renamed ? [[renamed, change(name, stored.read(name))] as const] : []
  })
  writeSafetensors(join(folder, 'model.safetensors'), new Map(kept))
  const config = goldenJson('tiny-gemma3/config.json')
  writeFileSync(
    join(folder, 'config.json'),
    JSON.stringify({ ...config, text_config: { ...config.text_config, ...settings } }),
  )
  return folder
}

const firstRows = ({ dtype, shape, bytes }: StoredTensor, rows: number): StoredTensor => ({
  dtype,
  shape: [rows, ...shape.slice(1)],
  bytes: bytes.slice(0, (bytes.length / (shape[0] as number)) * rows),
})
