import { describe, expect, test } from 'vitest'
import { findPairs } from '../../../src/dataset/pairs.ts'
import { findPairFiles } from '../../../src/dataset/repair/pair-files.ts'

const pairsOf = (...paths: string[]) =>
  findPairFiles(paths).pairs.map(({ name, ...files }) => [name, ...Object.values(files)])

describe('pairs are found by names that are not quite right', () => {
  test.each([
    ['another separator', ['a-start.wav', 'a end.mp3'], ['a', 'a-start.wav', 'a end.mp3']],
    ['another case', ['Voice_START.WAV', 'voice_end.wav'], ['voice', 'Voice_START.WAV', 'voice_end.wav']],
    ['two folders', ['in/a_start.wav', 'out/a_end.wav'], ['a', 'in/a_start.wav', 'out/a_end.wav']],
    ['characters that systems refuse', ['a:b?_start.wav', 'a:b?_end.wav'], ['a_b_', 'a:b?_start.wav', 'a:b?_end.wav']],
    ['a caption', ['a_start.wav', 'a_end.wav', 'a.txt'], ['a', 'a_start.wav', 'a_end.wav', 'a.txt']],
    [
      'a caption of one side',
      ['a_start.wav', 'a_end.wav', 'a_end.txt'],
      ['a', 'a_start.wav', 'a_end.wav', 'a_end.txt'],
    ],
    ['two formats', ['a_start.aiff', 'a_start.flac', 'a_end.wav'], ['a', 'a_start.flac', 'a_end.wav']],
  ])('%s', (_, paths, pair) => expect(pairsOf(...paths)).toEqual([pair]))

  test('the same name in several folders', () => {
    expect(
      pairsOf(
        'a_start.wav',
        'a_end.wav',
        'a.txt',
        'x/a_start.wav',
        'x/a_end.wav',
        'y/in/a_start.wav',
        'y/in/A_end.wav',
      ),
    ).toEqual([
      ['a', 'a_start.wav', 'a_end.wav', 'a.txt'],
      ['in-A', 'y/in/a_start.wav', 'y/in/A_end.wav'],
      ['x-a', 'x/a_start.wav', 'x/a_end.wav'],
    ])
  })

  test('names that become the same get numbers', () => {
    const names = pairsOf('a:_start.wav', 'a:_end.wav', 'a__start.wav', 'a__end.wav').map(([name]) => name)
    expect(new Set(names).size).toBe(names.length)
  })
})

describe('names that the training reads as they are come first', () => {
  test.each([
    [
      'a file with another separator takes no side of a pair',
      ['voice_start.wav', 'voice_end.wav', 'voice-start.wav'],
      [['voice', 'voice_start.wav', 'voice_end.wav']],
    ],
    [
      'both of two pairs with different separators stay, each with its own caption',
      ['voice_start.wav', 'voice_end.wav', 'voice.txt', 'voice-start.wav', 'voice-end.wav', 'voice-start.txt'],
      [
        ['voice', 'voice_start.wav', 'voice_end.wav', 'voice.txt'],
        ['voice-2', 'voice-start.wav', 'voice-end.wav', 'voice-start.txt'],
      ],
    ],
    [
      'a separator at the end of a name belongs to it',
      ['q__start.wav', 'q__end.wav', 'q_start.wav', 'q_end.wav', 'q_.txt'],
      [
        ['q', 'q_start.wav', 'q_end.wav'],
        ['q_', 'q__start.wav', 'q__end.wav', 'q_.txt'],
      ],
    ],
    ['a name of separators only', ['__start.wav', '__end.wav'], [['_', '__start.wav', '__end.wav']]],
    [
      'also in different folders',
      ['in/a_start.wav', 'in/a-end.wav', 'out/a_end.wav'],
      [['a', 'in/a_start.wav', 'out/a_end.wav']],
    ],
    [
      'also where another name becomes the same',
      ['a:_start.wav', 'a:_end.wav', 'a__start.wav', 'a__end.wav'],
      [
        ['a_', 'a__start.wav', 'a__end.wav'],
        ['a_-2', 'a:_start.wav', 'a:_end.wav'],
      ],
    ],
    [
      'numbers go to the other names',
      ['b-2_start.wav', 'b-2_end.wav', 'b-start.wav', 'b-end.wav', 'b_start.wav', 'b_end.wav'],
      [
        ['b', 'b_start.wav', 'b_end.wav'],
        ['b-2', 'b-2_start.wav', 'b-2_end.wav'],
        ['b-3', 'b-start.wav', 'b-end.wav'],
      ],
    ],
  ])('%s', (_, paths, pairs) => expect(pairsOf(...paths)).toEqual(pairs))

  test('what is left is one-sided, and not dropped', () => {
    const { oneSided, unused } = findPairFiles(['voice_start.wav', 'voice_end.wav', 'voice-start.wav'])
    expect(oneSided.map(({ path }) => path)).toEqual(['voice-start.wav'])
    expect(unused).toEqual([])
  })
})

test('a caption belongs to one pair, the one whose name it has', () => {
  expect(
    pairsOf('take_start.wav', 'take_end.wav', 'take_start_start.wav', 'take_start_end.wav', 'take_start.txt'),
  ).toEqual([
    ['take', 'take_start.wav', 'take_end.wav'],
    ['take_start', 'take_start_start.wav', 'take_start_end.wav', 'take_start.txt'],
  ])
})

test('long names are cut to what file systems allow, and stay unique', () => {
  const long = 'ä'.repeat(125)
  const names = pairsOf(`${long}1_start.wav`, `${long}1_end.wav`, `${long}2_start.wav`, `${long}2_end.wav`).map(
    ([name = '']) => name,
  )
  expect(names).toEqual(['ä'.repeat(118), `${'ä'.repeat(118)}-2`])
  for (const name of names) expect(Buffer.byteLength(`${name}_start.webm`)).toBeLessThanOrEqual(255)
})

test('sides without a partner, or with several, stay alone', () => {
  const { pairs, oneSided } = findPairFiles([
    'a_start.wav',
    'b_end.wav',
    'x/c_start.wav',
    'y/c_start.wav',
    'z/c_end.wav',
  ])
  expect(pairs).toEqual([])
  expect(oneSided.map(({ path, side }) => [path, side])).toEqual([
    ['a_start.wav', 'reference'],
    ['b_end.wav', 'target'],
    ['x/c_start.wav', 'reference'],
    ['y/c_start.wav', 'reference'],
    ['z/c_end.wav', 'target'],
  ])
})

test('valid names stay, hidden files are ignored, all others are listed, recordings first', () => {
  const found = findPairFiles(['b_start.wav', 'b_end.wav', 'notes.md', 'song.wav', '.hidden', '__MACOSX/b_start.wav'])
  expect(found.pairs.map(({ name }) => name)).toEqual(['b'])
  expect(found.unused).toEqual(['song.wav', 'notes.md'])
})

test('rejected files are ignored by the inspection, and carried over by a repair', () => {
  const paths = [
    'a_start.wav',
    'a_end.wav',
    'd/rejected/b/start.wav',
    'd/rejected/b_start.wav',
    'd/rejected/reasons.txt',
  ]
  const { pairs, problems } = findPairs(paths)
  expect(pairs.map(({ name }) => name)).toEqual(['a'])
  expect(problems.filter(({ severity }) => severity !== 'hint')).toEqual([])
  expect(findPairFiles(paths).rejected.map(({ below }) => below)).toEqual(['b/start.wav', 'b_start.wav', 'reasons.txt'])
  expect(findPairs(['rejected/a_start.wav', 'rejected/a_end.wav']).pairs).toHaveLength(1) // a folder of the user's own
})
