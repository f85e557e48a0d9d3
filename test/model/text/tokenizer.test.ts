import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openTextEncoder } from '../../../src/model/text/text-encoder.ts'
import { contextLength, loadTokenizer } from '../../../src/model/text/tokenizer.ts'
import { UserError } from '../../../src/platform/errors.ts'
import { goldenJson, goldenPath } from '../../golden/golden.ts'

const folder = goldenPath('tiny-gemma3')
const tokenize = loadTokenizer(openTextEncoder(folder))
const { bos_token_id: bosId } = goldenJson('tiny-gemma3/config.json')

describe('the token ids of a caption', () => {
  it('begin with the start token, even without text', () => {
    expect(tokenize('')).toEqual([bosId])
    expect(tokenize('soft rain')[0]).toBe(bosId)
  })

  it('do not include surrounding whitespace', () => expect(tokenize('\n  soft rain\t ')).toEqual(tokenize('soft rain')))

  it('are truncated at the end when the caption is too long', () => {
    const long = 'soft rain '.repeat(contextLength)
    expect(tokenize(long)).toHaveLength(contextLength)
    expect(tokenize(long).slice(0, 100)).toEqual(tokenize('soft rain '.repeat(100)).slice(0, 100))
  })
})

describe('a text encoder is refused', () => {
  const refusal = (path: string) => () => loadTokenizer(openTextEncoder(path))
  const copyWithout = (file: string) => {
    const copy = mkdtempSync(join(tmpdir(), 'ltx-a2a-tokenizer-'))
    cpSync(folder, copy, { recursive: true })
    rmSync(join(copy, file))
    return copy
  }

  it('when it does not exist', () => {
    expect(refusal('/nowhere/gemma')).toThrow(UserError)
    expect(refusal('/nowhere/gemma')).toThrow('/nowhere/gemma is neither a folder nor a safetensors file')
  })

  it('when it is another file', () => {
    expect(refusal(join(folder, 'config.json'))).toThrow('config.json is not a usable safetensors file')
  })

  it.each(['config.json', 'tokenizer.json', 'tokenizer_config.json'])('when it has no %s', (file) => {
    expect(refusal(copyWithout(file))).toThrow(`has no readable ${file}`)
  })

  it('when the tokenizer has no start token', () => {
    const path = copyWithout('tokenizer_config.json')
    writeFileSync(join(path, 'tokenizer_config.json'), '{"bos_token": "<nothing>"}')
    expect(refusal(path)).toThrow('has no start token')
  })
})
