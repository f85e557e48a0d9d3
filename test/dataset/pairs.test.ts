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

  test('names with control characters, which no archive may contain', () => {
    const names = ['a\n_start.wav', 'a\n_end.wav', 'b\u001b[2J.txt']
    expect(
      problemsWith(...names, 'Icon\r', 'li\nne/1_start.jpg').filter(({ severity }) => severity === 'error'),
    ).toMatchObject([
      { message: '"a\\n_start.wav" has control characters in its name', hint: 'rename it' },
      { message: '"a\\n_end.wav" has control characters in its name' },
      { message: '"b\\u001b[2J.txt" has control characters in its name' },
    ])
  })

  test('a name that very many files have, in a short sentence', () => {
    const paths = Array.from({ length: 1000 }, (_, i) => `${i}/a_start.wav`)
    expect(findPairs([...paths, 'a_end.wav']).problems[0]?.message).toBe(
      'the pair a has 1000 references: 0/a_start.wav, 1/a_start.wav, 2/a_start.wav, 3/a_start.wav and 996 more',
    )
  })

  test('a dataset without pairs, which says what it has instead', () => {
    const error = (...paths: string[]) => findPairs(paths).problems.filter(({ severity }) => severity === 'error')
    expect(error('cover.jpg')).toMatchObject([{ message: 'there is no pair' }])
    expect(error('deep/pairs.zip')).toMatchObject([
      { message: 'there is no pair, only another archive: deep/pairs.zip' },
    ])
    expect(error('a_start.xyz', 'a_end.xyz')).toMatchObject([
      { message: 'there is no pair that can be read, only a_start.xyz, a_end.xyz' },
    ])
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

  test('a side of a pair that is not in an audio format', () => {
    expect(problemsWith('d_start.xyz', 'd_end.xyz', 'x/E_END', 'f_start.wav.part')).toMatchObject([
      {
        severity: 'warning',
        message: 'd_start.xyz is not used: .xyz is not an audio format that can be read',
        pair: 'd',
      },
      {
        severity: 'warning',
        message: 'd_end.xyz is not used: .xyz is not an audio format that can be read',
        pair: 'd',
      },
      { severity: 'warning', message: 'x/E_END is not used: it has no extension', pair: 'E' },
      { severity: 'warning', message: 'f_start.wav.part is not used: .part is not an audio format that can be read' },
    ])
  })

  test('a side whose other side is not in an audio format, with a hint that names that file', () => {
    expect(
      problemsWith('g_start.wav', 'x/g_end.xyz', 'h_start.xyz', 'h_end.wav').map(({ message, hint }) => [
        message,
        hint,
      ]),
    ).toEqual([
      [
        'h_end.wav has no reference h_start',
        expect.stringContaining('h_start.xyz cannot be read: export it with any of .wav'),
      ],
      ['g_start.wav has no target g_end and is not used', expect.stringContaining('g_end.xyz cannot be read')],
      ['x/g_end.xyz is not used: .xyz is not an audio format that can be read', expect.any(String)],
      ['h_start.xyz is not used: .xyz is not an audio format that can be read', expect.any(String)],
    ])
  })

  test('files beside the sides and captions of a pair, in one sentence', () => {
    expect(problemsWith('0_start.jpg', '1_start.wav.asd', '1_end.wav.asd', '2.txt', '2.json')).toEqual([
      {
        severity: 'hint',
        message:
          '4 files beside the audio and captions are not used: 0_start.jpg, 1_start.wav.asd, 1_end.wav.asd, 2.json',
      },
    ])
  })

  test('captions in other formats than .txt', () => {
    expect(
      problemsWith('3.md', 'captions.json', 'readme.md').map(({ severity, message, hint }) => [
        severity,
        message,
        hint,
      ]),
    ).toEqual([
      ['warning', '3.md is not used: captions are read from .txt files', 'write 3.txt, with encoding UTF-8'],
      [
        'warning',
        'captions.json is not used: captions are read from .txt files',
        expect.stringContaining('one <name>.txt'),
      ],
    ])
  })

  test('an archive inside the dataset', () => {
    expect(problemsWith('deep/more.rar')).toMatchObject([
      {
        severity: 'warning',
        message: 'deep/more.rar is an archive inside the dataset and is not unpacked',
        hint: expect.stringContaining('unpack it'),
      },
    ])
  })

  test('files in formats that the hosted trainer does not accept, which are used', () => {
    const { pairs, problems } = findPairs([...ten, 'd_start.aiff', 'd_end.AIF', 'e_start.opus', 'e_end.wav'])
    expect(pairs).toHaveLength(12)
    expect(problems).toEqual([
      {
        severity: 'hint',
        message: '3 files in formats that the hosted trainer does not accept: d_start.aiff, d_end.AIF, e_start.opus',
        hint: 'they can be used here; the hosted trainer accepts .wav .mp3 .flac .ogg .aac .m4a',
      },
    ])
  })

  test('a copy of a side in such a format, which is not used', () => {
    expect(problemsWith('1_start.aiff')).toMatchObject([
      { severity: 'warning', message: '1_start.aiff is not used, because there is 1_start.wav', pair: '1' },
    ])
    expect(findPairs([...ten, 'd_start.aiff', 'd_start.opus', 'd_end.wav']).problems).toMatchObject([
      { severity: 'error', message: 'the pair d has 2 references: d_start.aiff and d_start.opus' },
      { severity: 'hint' },
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
