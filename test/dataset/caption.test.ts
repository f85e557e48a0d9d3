import { expect, test } from 'vitest'
import { composeCaption, decodeCaption } from '../../src/dataset/pairs.ts'

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

test('a byte order mark and surrounding whitespace are removed, inner line breaks are kept', () => {
  expect(decodeCaption(Buffer.from('\uFEFF  dry\n drums\r\n\n'))).toBe('dry\n drums')
  expect(decodeCaption(Buffer.from('\uFEFF \n'))).toBe('')
})

test('a caption that is not UTF-8 is not decoded', () => {
  expect(decodeCaption(Buffer.from('caf\xe9', 'latin1'))).toBeUndefined()
  expect(decodeCaption(Buffer.from('\uFEFFdrums', 'utf16le'))).toBeUndefined()
})
