/**
 * The text tower of Gemma 4 against the public library, on a miniature whose sizes differ from those of the golden set: other full layers, a window that
 * hides tokens, two key heads in full layers. `scripts/gemma4-reference.py` made the numbers.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { hiddenStates } from '../../src/model/text/gemma.ts'
import { positionTables } from '../../src/model/text/gemma-attention.ts'
import { openTextEncoder } from '../../src/model/text/text-encoder.ts'
import { contextLength, loadTokenizer } from '../../src/model/text/tokenizer.ts'
import { gemma4, startGoldenBackend } from './golden.ts'

const text = gemma4.numbers('text.safetensors')
const captions = (gemma4.json('captions.json').captions as { caption: string }[]).map(({ caption }) => caption)
const encoder = openTextEncoder(gemma4.path('gemma4-tiny.safetensors'))
const ids = captions.map(loadTokenizer(encoder))
const compared = new Set<string>()

beforeAll(startGoldenBackend)
afterAll(encoder.close)

function compare(name: string, values: ArrayLike<number>) {
  text.expectClose(name, values)
  compared.add(name)
}

const chosenRows = (values: ArrayLike<number>, width: number, rows: ArrayLike<number>) =>
  Array.from(rows).flatMap((row) => Array.from({ length: width }, (_, i) => values[row * width + i] as number))

describe('the text tower of Gemma 4 matches the public library', () => {
  it('for the token ids, of a caption that is cut, an empty one and one that begins with <bos>', () => {
    for (const [k, tokens] of ids.entries()) compare(`c${k}.ids`, tokens)
    expect(ids.map(({ length }) => length)).toContain(1)
    expect(ids.map(({ length }) => length)).toContain(contextLength)
    expect(captions.some((caption) => caption.startsWith('<bos>'))).toBe(true)
  })

  it('for the hidden states of all layers', () => {
    let level = 0
    for (const hidden of hiddenStates(encoder, ids)) {
      for (const [k, tensor] of hidden.entries()) {
        const rows = text.float32(`c${k}.rows`)
        compare(`c${k}.hidden${level}`, chosenRows(tensor.dataSync(), tensor.shape[1], rows))
      }
      level++
    }
    expect(level).toBe(encoder.config.layers.length + 1)
  })

  it.each(['sliding', 'full'] as const)('for the rotary tables of %s layers', (kind) => {
    const positions = text.float32('rope.positions')
    const { rope } = positionTables(encoder.config.attention[`${kind}_attention`], Math.max(...positions) + 1)
    for (const part of ['cos', 'sin'] as const) {
      const [, width = 0] = text.shape(`rope.${kind}.${part}`)
      compare(`rope.${kind}.${part}`, chosenRows(rope[part].dataSync(), width, positions))
    }
  })

  it('in all its numbers', () => {
    const outputs = text.names.filter((name) => !/(rows|positions)$/.test(name))
    expect(outputs.filter((name) => !compared.has(name))).toEqual([])
  })
})
