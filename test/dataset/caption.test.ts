import { describe, expect, it, test } from 'vitest'
import { composeCaption, decodeCaption, exampleCaption } from '../../src/dataset/caption.ts'

test.each([
  ['tonech4nge', 'dry drums', 'tonech4nge dry drums'],
  ['tonech4nge', '', 'tonech4nge'],
  ['', 'dry drums', 'dry drums'],
  ['', '', ''],
  [' tonech4nge ', 'dry drums', 'tonech4nge dry drums'],
  ['tonech4nge', 'tonech4nge dry drums', 'tonech4nge dry drums'],
  ['tonech4nge', 'tonech4nge', 'tonech4nge'],
  ['tonech4nge', 'tonech4nge, dry drums', 'tonech4nge, dry drums'],
  ['tone', 'tones of a bell', 'tone tones of a bell'],
  ['caf', 'café', 'caf café'],
  ['cafe', 'cafe\u0301 noise', 'cafe cafe\u0301 noise'], // é as two code points
  ['tone change', 'tone, changed', 'tone change tone, changed'],
])('the trigger phrase %j and the caption %j are combined into %j', (trigger, caption, expected) => {
  expect(composeCaption(trigger, caption)).toBe(expected)
})

const decode = (bytes: Uint8Array) => decodeCaption(bytes, 'a.txt')

test('a byte order mark and surrounding whitespace are removed, inner line breaks are kept', () => {
  expect(decode(Buffer.from('\uFEFF  dry\n drums\r\n\n'))).toBe('dry\n drums')
  expect(decode(Buffer.from('\uFEFF \n'))).toBe('')
})

test.each(['a voice', 'a', 'caf\u00e9 noir', 'голос', 'голос и чай\r\n', 'これはテスト', 'これは声 a', 'φωνή'])(
  '%j in UTF-16 is decoded, with and without a byte order mark, in both byte orders',
  (text) => {
    for (const marked of [text, `\uFEFF${text}`]) {
      const bytes = Buffer.from(marked, 'utf16le')
      expect(decode(bytes)).toBe(text.trim())
      expect(decode(bytes.swap16())).toBe(text.trim())
    }
  },
)

test.each([
  ['Latin-1', Buffer.from('caf\xe9', 'latin1')],
  ['Windows-1251', Buffer.from('e3eeebeef1', 'hex')],
  ['Shift-JIS', Buffer.from('836883898380', 'hex')],
  ['Chinese UTF-16 without a byte order mark', Buffer.from('鼓声 干净', 'utf16le')],
  ['UTF-16 with half a character', Buffer.from('\uFEFFab', 'utf16le').subarray(0, 5)],
])('a caption in %s is refused', (_, bytes) => {
  expect(() => decode(bytes)).toThrow(/^a\.txt (is not UTF-8 text|contains the control character)/)
})

test.each([
  ['a\0b', 'U+0000'],
  ['ab\0c', 'U+0000'],
  ['a voice\0', 'U+0000'],
  ['a\u001b[2J', 'U+001B'],
])('the caption %j with a control character is refused', (text, code) => {
  expect(() => decode(Buffer.from(text))).toThrow(`a.txt contains the control character ${code}`)
})

test('tabs, line breaks and form feeds are white space', () => {
  expect(decode(Buffer.from('a\tb\r\nc\fd'))).toBe('a\tb\r\nc\fd')
})

describe('the example of a prompt for a LoRA', () => {
  it.each([
    ['the most frequent caption', ['a', 'b', 'b', 'c'], '', 'b'],
    ['the first of equally frequent ones', ['c', 'a', 'b', 'a', 'c'], '', 'c'],
    ['a caption of most pairs, even where more pairs have none than this one', ['', '', 'a', 'b', 'c'], '', 'a'],
    ['with the trigger phrase', ['n0ise a', 'n0ise a', 'n0ise'], ' n0ise ', 'n0ise a'],
  ])('is %s', (_, captions, triggerPhrase, example) => {
    expect(exampleCaption(captions, triggerPhrase)).toBe(example)
  })

  it.each([
    ['none has a caption', ['', ''], ''],
    ['half of them have none', ['a', ''], ''],
    ['most have the trigger phrase alone', ['n0ise', 'n0ise', 'n0ise a'], 'n0ise'],
    ['there are none', [], ''],
  ])('is missing where of the pairs %s', (_, captions, triggerPhrase) => {
    expect(exampleCaption(captions, triggerPhrase)).toBeUndefined()
  })
})
