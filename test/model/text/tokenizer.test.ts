import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { contextLength, loadTokenizer } from '../../../src/model/text/tokenizer.ts'
import { UserError } from '../../../src/platform/errors.ts'
import { goldenJson, goldenPath } from '../../golden/golden.ts'

const folder = goldenPath('tiny-gemma3')
const tokenize = loadTokenizer(folder)
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

describe('a tokenizer folder is refused', () => {
  const empty = () => mkdtempSync(join(tmpdir(), 'ltx-a2a-tokenizer-'))

  it('when it does not exist', () => {
    expect(() => loadTokenizer('/nowhere/gemma')).toThrow(UserError)
    expect(() => loadTokenizer('/nowhere/gemma')).toThrow('/nowhere/gemma is not a folder')
  })

  it('when it is a file', () => {
    expect(() => loadTokenizer(join(folder, 'config.json'))).toThrow('is not a folder')
  })

  it('when it has no tokenizer.json', () => {
    expect(() => loadTokenizer(empty())).toThrow('has no readable tokenizer.json')
  })

  it('when the tokenizer has no start token', () => {
    const path = join(empty(), 'gemma')
    mkdirSync(path)
    writeFileSync(join(path, 'tokenizer.json'), JSON.stringify(goldenJson('tiny-gemma3/tokenizer.json')))
    writeFileSync(join(path, 'tokenizer_config.json'), '{"bos_token": "<nothing>"}')
    expect(() => loadTokenizer(path)).toThrow('has no start token')
  })
})
