import type * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, it } from 'vitest'
import { openSafetensors } from '../../src/formats/safetensors.ts'
import { readModelConfig } from '../../src/model/config.ts'
import { extractFeatures, loadFeatureExtractor } from '../../src/model/text/connector.ts'
import { hiddenStates, openGemma } from '../../src/model/text/gemma.ts'
import { encodeCaptions } from '../../src/model/text/text-model.ts'
import { contextLength, loadTokenizer } from '../../src/model/text/tokenizer.ts'
import { weightsOf } from '../../src/model/weights.ts'
import { golden, goldenJson, goldenPath, startGoldenBackend } from './golden.ts'

const text = golden('text.safetensors')
const captions = (goldenJson('captions.json').captions as { caption: string }[]).map(({ caption }) => caption)
const textEncoder = goldenPath('tiny-gemma3')
const checkpoint = openSafetensors(goldenPath('tiny-ltx-2.3.safetensors'))
const config = readModelConfig(checkpoint)
const tokenize = loadTokenizer(textEncoder)

beforeAll(startGoldenBackend)

describe('the text path matches the reference', () => {
  it.each([...captions.entries()])('for the token ids of caption %i', (k, caption) => {
    const ids = tokenize(caption)
    expect(text.names).toContain(`c${k}.ids`)
    compare(`c${k}.ids`, ids)
    const padding = Array(contextLength - ids.length)
    compare(`c${k}.padded_ids`, [...padding.fill(goldenJson('tiny-gemma3/config.json').pad_token_id), ...ids])
    compare(`c${k}.padded_mask`, [...padding.fill(0), ...ids.map(() => 1)])
  })

  it('for hidden states and features', async () => {
    const gemma = openGemma(textEncoder)
    const weights = weightsOf(checkpoint, 'text_embedding_projection.')
    const [width] = weights.shape('audio_aggregate_embed.bias') as [number]
    const extractor = loadFeatureExtractor(weights, gemma.config.hiddenSize, width)
    const states = comparing(hiddenStates(gemma, captions.map(tokenize)))
    const features = await extractFeatures(extractor, states)
    for (const [k, tensor] of features.entries()) compareTokens(`c${k}.features`, k, tensor)
    gemma.close()
  })

  it('for contexts', async () => {
    const contexts = await encodeCaptions({ checkpoint, config, textEncoder }, captions)
    for (const [k, context] of contexts.entries()) {
      const rows = text.float32(`c${k}.context_rows`)
      compare(`c${k}.context`, chosenRows(context, context.length / contextLength, rows))
    }
  })

  it('in all tensors of the golden set', () => {
    const outputs = text.names.filter((name) => !name.endsWith('rows'))
    expect(outputs.filter((name) => !compared.has(name))).toEqual([])
  })
})

const compared = new Set<string>()

/** Compares an output if the golden set contains it. */
function compare(name: string, values: ArrayLike<number>) {
  if (!text.names.includes(name)) return
  text.expectClose(name, values)
  compared.add(name)
}

/** Compares the tokens that the golden set contains; of a long caption, only some. */
const compareTokens = (name: string, k: number, tensor: tf.Tensor2D) =>
  compare(name, chosenRows(tensor.dataSync(), tensor.shape[1], text.float32(`c${k}.rows`)))

function* comparing(states: Iterable<tf.Tensor2D[]>) {
  let level = 0
  for (const hidden of states) {
    for (const [k, tensor] of hidden.entries()) compareTokens(`c${k}.hidden${level}`, k, tensor)
    level++
    yield hidden
  }
}

const chosenRows = (values: Float32Array | Int32Array | Uint8Array, width: number, rows: Float32Array) =>
  Array.from(rows).flatMap((row) => [...values.subarray(row * width, (row + 1) * width)])
