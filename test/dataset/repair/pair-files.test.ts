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
