import { expect, it } from 'vitest'
import {
  countText,
  decimalText,
  durationText,
  listText,
  maskedUrl,
  percentText,
  plain,
  printable,
  roughText,
  shellQuote,
  sizeText,
  wholeText,
} from '../../src/platform/text.ts'

it.each([
  [0, '0 bytes'],
  [9_999, '9999 bytes'],
  [64_000, '64 kB'],
  [3_200_000, '3.2 MB'],
  [450_000_000, '450 MB'],
  [8_500_000_000, '8.50 GB'],
])('%d bytes are shown as %s', (bytes, text) => expect(sizeText(bytes)).toBe(text))

it.each([
  [0.8234, '0.82'],
  [4, '4.0'],
  [99.4, '99'],
  [99.6, '100'],
  [1234.6, '1235'],
])('%d is shown as %s without an exponent', (value, text) => expect(roughText(value)).toBe(text))

it.each([
  [4.4, '4 s'],
  [200, '3 min 20 s'],
  [3900, '1 h 5 min'],
])('%d seconds are shown as %s', (seconds, text) => expect(durationText(seconds)).toBe(text))

it('counts have singular and plural nouns', () =>
  expect([countText(0, 'pair'), countText(1, 'pair'), countText(2, 'pair')]).toEqual(['0 pairs', '1 pair', '2 pairs']))

it('whole numbers have thousands separators', () => expect([wholeText(1799.6), wholeText(12)]).toEqual(['1,800', '12']))

it('negative numbers have a minus sign', () => expect(decimalText(-0.5, 2)).toBe('−0.50'))

it('long lists are abbreviated', () => {
  expect(listText(['a', 'b'], 2)).toBe('a, b')
  expect(listText(['a', 'b', 'c'], 2)).toBe('a, b and 1 more')
})

it('paths are quoted for a shell only where necessary', () => {
  expect(shellQuote('runs/pairs-1')).toBe('runs/pairs-1')
  expect(shellQuote("it's here")).toBe(`'it'\\''s here'`)
})

it('control characters and line breaks become spaces', () => expect(plain('a\n\u001b[2Jb\t')).toBe('a [2Jb'))

it.each([
  ['a bidirectional override', 'drums\u202egpj.wav\u202c', 'drumsgpj.wav'],
  ['bidirectional isolates and marks', '\u2066a\u2069\u200eb\u200f\u061cc', 'abc'],
  ['zero-width characters', 'dr\u200bu\u200cm\u200ds\u2060\ufeff', 'drums'],
  ['soft hyphens and fillers', 'dr\u00adums\u3164\u115f', 'drums'],
  ['hidden tags', 'drums\u{e0041}\u{e0042}', 'drums'],
])('%s in a name is removed', (_, name, shown) => {
  expect(plain(name)).toBe(shown)
  expect(printable(name)).toBe(shown)
})

it('joiners and variation selectors stay where writing needs them', () => {
  for (const text of ['👩🏽\u200d🚀', '❤\ufe0f\u200d🔥', 'می\u200cخواهم', 'क्\u200dष', '☎\ufe0f'])
    expect([plain(text), printable(text)]).toEqual([text, text])
})

it('line and paragraph separators are line breaks', () => {
  expect(plain('a\u2028b\u2029c')).toBe('a b c')
  expect(printable('a\u2028b\u2029c')).toBe('a\nb\nc')
})

it('printable text keeps lines and tabs, and loses other control characters', () =>
  expect(printable('a\n\tb\r\u001b[2J\u0007\u0085')).toBe('a\n\tb[2J'))

it.each([
  ['https://host/simple/', 'https://host/simple/'],
  ['https://me:secret@host:8080/simple?token=secret#part', 'https://…@host:8080/simple'],
  ['http://me:pa@ss@host', 'http://…@host'],
  ['http://me:pa/ss?w#rd@host/x', 'http://…@host/x'],
  ['me:secret@host:3128', '…@host:3128'],
  ['file:///srv', 'file:///srv'],
  ['nonsense', 'nonsense'],
])('%s is shown as %s', (url, shown) => expect(maskedUrl(url)).toBe(shown))

it('a share is a percentage without rounding errors', () =>
  expect([0.07, 0.125, 0.9].map(percentText)).toEqual(['7 %', '12.5 %', '90 %']))
