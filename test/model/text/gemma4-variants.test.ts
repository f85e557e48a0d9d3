/** Where Gemma 4 differs from Gemma 3, the golden numbers show it: each mistake moves one of them far beyond its tolerance. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { toBfloat16, toFloat32 } from '../../../src/formats/dtypes.ts'
import type { StoredTensor } from '../../../src/formats/safetensors.ts'
import { hiddenStates } from '../../../src/model/text/gemma.ts'
import type { GemmaConfig } from '../../../src/model/text/gemma-config.ts'
import { openTextEncoder, type TextEncoder } from '../../../src/model/text/text-encoder.ts'
import { loadTokenizer } from '../../../src/model/text/tokenizer.ts'
import { ltx25, relativeError, startGoldenBackend } from '../../golden/golden.ts'

const text = ltx25.numbers('text.safetensors')
const captions = (ltx25.json('captions.json').captions as { caption: string }[]).map(({ caption }) => caption)
const encoder = openTextEncoder(ltx25.base.textEncoder)
const { config } = encoder
const tokenize = loadTokenizer(encoder)
const caption = 1

beforeAll(startGoldenBackend)
afterAll(encoder.close)

type Tower = Pick<TextEncoder, 'weights' | 'prefix' | 'config'>

/** The largest relative error of the last hidden state of a caption. */
function errorOf(tower: Tower): number {
  let last: ArrayLike<number> = []
  for (const [hidden] of hiddenStates(tower, [tokenize(captions[caption] as string)])) last = hidden?.dataSync() ?? []
  return relativeError(last, text.float32(`c${caption}.hidden${config.layers.length}`)).max
}

const withConfig = (change: Partial<GemmaConfig>): Tower => ({ ...encoder, config: { ...config, ...change } })

function withFullAttention(change: Partial<GemmaConfig['attention']['full_attention']>): Tower {
  const full = { ...config.attention.full_attention, ...change }
  return withConfig({ attention: { ...config.attention, full_attention: full } })
}

/** Other values of the tensors whose names match. */
function withWeights(pattern: RegExp, change: (values: Float32Array) => Float32Array): Tower {
  const { weights } = encoder
  const changed = (name: string, tensor: StoredTensor): StoredTensor =>
    pattern.test(name) ? { ...tensor, bytes: toBfloat16(change(toFloat32(tensor.bytes, tensor.dtype))) } : tensor
  const read = (name: string) => changed(name, weights.read(name))
  return { ...encoder, weights: { ...weights, read, readPooled: read } }
}

const plusOne = (values: Float32Array) => values.map((value) => value + 1)
const { full_attention: full } = config.attention

describe('the golden numbers of the text tower move with', () => {
  it('nothing, when nothing is changed', () => {
    expect(errorOf(encoder)).toBeLessThan(5e-5)
    expect(errorOf(withWeights(/./, (values) => values))).toBeLessThan(5e-5)
  })

  it.each<[mistake: string, tower: () => Tower]>([
    ['1 + w in all norms', () => withConfig({ normOffset: 1 })],
    ...[
      'input_layernorm',
      'post_attention_layernorm',
      'pre_feedforward_layernorm',
      'post_feedforward_layernorm',
      'q_norm',
      'k_norm',
    ].map((norm): [string, () => Tower] => [
      `1 + w in ${norm}`,
      () => withWeights(new RegExp(`layers\\..*${norm}\\.weight$`), plusOne),
    ]),
    ['1 + w in the final norm', () => withWeights(/^model\.norm\.weight$/, plusOne)],
    ['scores divided by √d', () => withConfig({ scoreScale: full.headDim ** -0.5 })],
    ['values that are not normalized', () => withConfig({ normalizesValues: false })],
    [
      'the rotation of all pairs in full layers',
      () => withFullAttention({ rope: { ...full.rope, rotatedPairs: full.headDim / 2 } }),
    ],
    ['no rotation in full layers', () => withFullAttention({ rope: { ...full.rope, rotatedPairs: 0 } })],
    [
      'the width of the rotated features in the exponents of the rotation', // theta^(−2j / (d / 4)) is (theta⁴)^(−2j / d)
      () => withFullAttention({ rope: { ...full.rope, theta: full.rope.theta ** 4 } }),
    ],
    ['the scaled positions of Gemma 3', () => withFullAttention({ rope: { ...full.rope, factor: 8 } })],
    ['layers that are not scaled', () => withConfig({ scalesLayers: false })],
    ['one layer that is not scaled', () => withWeights(/layers\.0\.layer_scalar$/, () => Float32Array.of(1))],
  ])('%s', (_, tower) => {
    expect(errorOf(tower())).toBeGreaterThan(1e-3) // the tolerance is 5e-4
  })
})

describe('the start token of a caption', () => {
  const [bos] = tokenize('')

  it('is added once, also where the caption begins with it', () => {
    expect(tokenize('')).toHaveLength(1)
    expect(tokenize('<bos>soft rain')).toEqual(tokenize('soft rain'))
    expect(tokenize('soft <bos> rain').filter((id) => id === bos)).toHaveLength(2)
  })

  it('is added a second time for Gemma 3, whose tokenizer does so', () => {
    const gemma3 = loadTokenizer({ ...encoder, config: { ...config, generation: 3 } })
    expect(gemma3('<bos>soft rain')).toEqual([bos, ...tokenize('soft rain')])
  })
})
