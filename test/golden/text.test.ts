import type * as tf from '@tensorflow/tfjs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openBase } from '../../src/model/base-model.ts'
import { extractFeatures, loadFeatureExtractor } from '../../src/model/text/connector.ts'
import { hiddenStates } from '../../src/model/text/gemma.ts'
import { positionTables } from '../../src/model/text/gemma-attention.ts'
import { openTextEncoder } from '../../src/model/text/text-encoder.ts'
import { encodeCaptions } from '../../src/model/text/text-model.ts'
import { contextLength, loadTokenizer } from '../../src/model/text/tokenizer.ts'
import { type GoldenSet, goldenSets, startGoldenBackend } from './golden.ts'

beforeAll(startGoldenBackend)

describe.each(goldenSets)('the text path of $name matches the reference', (set) => {
  const text = set.numbers('text.safetensors')
  const captions = (set.json('captions.json').captions as { caption: string }[]).map(({ caption }) => caption)
  const base = openBase(set.base)
  const encoder = openTextEncoder(set.base.textEncoder)
  const tokenize = loadTokenizer(encoder)
  const compared = new Set<string>()
  afterAll(() => {
    base.close()
    encoder.close()
  })

  it.each([...captions.entries()])('for the token ids of caption %i', (k, caption) => {
    const ids = tokenize(caption)
    expect(text.names).toContain(`c${k}.ids`)
    compare(`c${k}.ids`, ids)
    const padding = Array(contextLength - ids.length)
    compare(`c${k}.padded_ids`, [...padding.fill(padId(set)), ...ids])
    compare(`c${k}.padded_mask`, [...padding.fill(0), ...ids.map(() => 1)])
  })

  it('for hidden states and features', async () => {
    const { textProjection } = base.components
    const [width] = textProjection.shape('audio_aggregate_embed.bias') as [number]
    const extractor = loadFeatureExtractor(textProjection, encoder.config.hiddenSize, width)
    const states = comparing(hiddenStates(encoder, captions.map(tokenize)))
    const features = await extractFeatures(extractor, states)
    for (const [k, tensor] of features.entries()) compareTokens(`c${k}.features`, k, tensor)
  })

  it('for contexts', async () => {
    const contexts = await encodeCaptions({ ...base, textEncoder: set.base.textEncoder }, captions)
    for (const [k, context] of contexts.entries()) {
      const rows = text.float32(`c${k}.context_rows`)
      compare(`c${k}.context`, chosenRows(context, context.length / contextLength, rows))
    }
  })

  it.each(['sliding', 'full'] as const)('for the rotary tables of %s layers at the released size', (kind) => {
    if (!text.names.includes(`rope.${kind}.cos`)) return
    const [, half = 0] = text.shape(`rope.${kind}.cos`)
    const positions = text.float32('rope.positions')
    const { rope } = encoder.config.attention[`${kind}_attention`]
    const rotatedPairs = kind === 'full' ? half / 4 : half
    const released = {
      ...encoder.config.attention[`${kind}_attention`],
      headDim: 2 * half,
      rope: { ...rope, rotatedPairs },
    }
    const tables = positionTables(released, Math.max(...positions) + 1).rope
    for (const part of ['cos', 'sin'] as const)
      compare(`rope.${kind}.${part}`, chosenRows(tables[part].dataSync(), half, positions))
  })

  it('in all tensors of the golden set', () => {
    const outputs = text.names.filter((name) => !/(rows|positions)$/.test(name))
    expect(outputs.filter((name) => !compared.has(name))).toEqual([])
  })

  /** Compares an output if the golden set contains it. */
  function compare(name: string, values: ArrayLike<number>) {
    if (!text.names.includes(name)) return
    text.expectClose(name, values)
    compared.add(name)
  }

  /** Compares the tokens that the golden set contains; of a long caption, only some. */
  function compareTokens(name: string, k: number, tensor: tf.Tensor2D) {
    compare(name, chosenRows(tensor.dataSync(), tensor.shape[1], text.float32(`c${k}.rows`)))
  }

  function* comparing(states: Iterable<tf.Tensor2D[]>) {
    let level = 0
    for (const hidden of states) {
      for (const [k, tensor] of hidden.entries()) compareTokens(`c${k}.hidden${level}`, k, tensor)
      level++
      yield hidden
    }
  }
})

/** Of the text encoder; it is 0 in both releases. */
const padId = (set: GoldenSet): number =>
  set.name === 'LTX-2.3' ? set.json('tiny-gemma3/config.json').pad_token_id : 0

const chosenRows = (values: Float32Array | Int32Array | Uint8Array, width: number, rows: Float32Array) =>
  Array.from(rows).flatMap((row) => [...values.subarray(row * width, (row + 1) * width)])
