import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { findPairs } from '../../src/dataset/pairs.ts'

const ten = Array.from({ length: 10 }, (_, i) => [`${i}_start.wav`, `${i}_end.wav`]).flat()

/** The problems of ten valid pairs and other files. */
const problemsWith = (...paths: string[]) => findPairs([...ten, ...paths]).problems

describe('pairs', () => {
  test('are found by their suffixes in any format, folder and case of the extension', () => {
    const { pairs } = findPairs([
      'a/kick_start.WAV',
      'b/c/kick_end.Mp3',
      'kick.TXT',
      'snare_start.flac',
      'snare_end.m4a',
    ])
    expect(pairs).toEqual([
      { name: 'kick', reference: 'a/kick_start.WAV', target: 'b/c/kick_end.Mp3', caption: 'kick.TXT' },
      { name: 'snare', reference: 'snare_start.flac', target: 'snare_end.m4a' },
    ])
  })

  test('can have names that resemble suffixes or contain dots', () => {
    const names = findPairs([
      'start_start.wav',
      'start_end.wav',
      'v1.2_start.ogg',
      'v1.2_end.aac',
      'a_end_start.wav',
      'a_end_end.wav',
    ])
    expect(names.pairs.map(({ name }) => name)).toEqual(['a_end', 'start', 'v1.2'])
    expect(names.problems.map(({ severity }) => severity)).toEqual(['hint'])
  })

  test('are matched regardless of Unicode normalization', () => {
    expect(findPairs(['e\u0301_start.wav', '\u00e9_end.wav']).pairs).toHaveLength(1)
  })

  test('are ordered independently of the order of the files', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray(ten, { minLength: ten.length }), (paths) => {
        expect(findPairs(paths)).toEqual(findPairs(ten))
      }),
    )
  })
})

test('system and unrelated files are ignored without a problem', () => {
  const leftovers = [
    '__MACOSX/._0_start.wav',
    'a/._0_end.wav',
    '.DS_Store',
    '.hidden/1_start.wav',
    'cover.jpg',
    'Thumbs.db',
    'notes',
  ]
  expect(problemsWith(...leftovers)).toEqual([])
})

describe('an error is reported for', () => {
  test('a target without its reference', () => {
    expect(problemsWith('x/drums_end.wav')).toEqual([
      {
        severity: 'error',
        message: 'x/drums_end.wav has no reference drums_start',
        hint: 'add drums_start with any of .wav .mp3 .flac .ogg .aac .m4a, or remove drums_end.wav',
        file: 'x/drums_end.wav',
        pair: 'drums',
      },
    ])
  })

  test('a target whose reference differs only in case, with a hint', () => {
    const [error] = problemsWith('drums_end.wav', 'Drums_start.wav')
    expect(error?.hint).toBe('Drums_start.wav differs only in upper and lower case: rename one of them')
  })

  test.each([
    ['b/1_start.wav', 'references: 1_start.wav and b/1_start.wav'],
    ['1_start.mp3', 'references: 1_start.wav and 1_start.mp3'],
    ['1_end.wav', 'targets: 1_end.wav and 1_end.wav'],
  ])('%s next to another file of that name', (path, names) => {
    const [error, ...others] = problemsWith(path)
    expect(error).toMatchObject({ severity: 'error', pair: '1', message: `the pair 1 has 2 ${names}` })
    expect(others).toEqual([])
  })

  test('two captions of one pair, but not for two captions without a pair', () => {
    const problems = problemsWith('a/1.txt', 'b/1.txt', 'a/notes.txt', 'b/notes.txt')
    expect(problems.map(({ severity, message }) => [severity, message])).toEqual([
      ['error', 'the pair 1 has 2 captions: a/1.txt and b/1.txt'],
      ['warning', 'a/notes.txt is a caption without a pair'],
    ])
  })

  test('a dataset without pairs', () => {
    expect(findPairs(['cover.jpg']).problems).toMatchObject([{ severity: 'error', message: 'there is no pair' }])
  })
})

describe('a warning or hint is reported for', () => {
  test('a reference without a target', () => {
    expect(problemsWith('drums_start.wav')).toMatchObject([
      { severity: 'warning', message: 'drums_start.wav has no target drums_end and is not used' },
    ])
  })

  test('a caption without a pair, with a hint on suffixes', () => {
    expect(problemsWith('1_end.txt')).toMatchObject([
      { severity: 'warning', message: '1_end.txt is a caption without a pair', hint: expect.stringContaining('1.txt') },
    ])
  })

  test('audio that is neither a reference nor a target', () => {
    expect(problemsWith('mix.wav', '_start.wav').map(({ message }) => message)).toEqual([
      'mix.wav ends in neither _start nor _end and is not used',
      '_start.wav ends in neither _start nor _end and is not used',
    ])
  })

  test('fewer than ten pairs', () => {
    expect(findPairs(ten.slice(0, 18)).problems).toEqual([
      { severity: 'hint', message: 'only 9 pairs: train on 10 or more for good results' },
    ])
    expect(findPairs(ten).problems).toEqual([])
  })
})
