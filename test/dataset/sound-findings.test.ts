/** The findings on silence and channels, from measurements. */
import { describe, expect, test } from 'vitest'
import type { SoundMeasurements } from '../../src/audio/analysis/measurement.ts'
import type { PairComparison } from '../../src/audio/analysis/pair-comparison.ts'
import { channelFindings } from '../../src/dataset/channel-findings.ts'
import { isUnrelated, soundFindings } from '../../src/dataset/findings.ts'
import type { DatasetOptions } from '../../src/dataset/fit-plan.ts'
import type { DatasetPair, DatasetSide } from '../../src/dataset/pair-inspection.ts'
import { isAudible, silenceFindings } from '../../src/dataset/silence.ts'
import { cleanMeasurements } from '../audio/signals.ts'

const options: DatasetOptions = {
  triggerPhrase: '',
  seconds: 5,
  preservePitch: true,
  normalize: true,
  windows: 'first',
}

type Audio = NonNullable<DatasetSide['audio']>

const side = (sound: Partial<SoundMeasurements> = {}, audio: Partial<Audio> = {}): DatasetSide => ({
  path: 'a.wav',
  audio: {
    seconds: 8,
    sampleRate: 44_100,
    channelCount: 2,
    peakDbfs: -3,
    silent: false,
    sound: { ...cleanMeasurements, ...sound },
    ...audio,
  },
})

const matching: PairComparison = {
  common: 'waveform',
  lagSeconds: 0,
  inverted: false,
  waveformMatch: 0.5,
  timingMatch: 0.8,
  distance: 6,
}

const pair = (reference: DatasetSide, target: DatasetSide, sound: Partial<PairComparison> = {}): DatasetPair => ({
  name: 'a',
  reference,
  target,
  caption: '',
  clips: { used: 1, all: 1, silent: 0 },
  plan: { use: true, reference: { how: 'trim' }, target: { how: 'trim' } },
  sound: { ...matching, ...sound },
})

const found = (pair: DatasetPair, used: DatasetOptions = options) =>
  [...silenceFindings([pair], used), ...soundFindings([pair], used), ...channelFindings([pair])].map(
    ({ kind, severity, pairs }) => [kind, severity, pairs[0]?.detail],
  )

const unrelated = { common: 'nothing', lagSeconds: null } as const

test('a clean pair has no findings', () => expect(found(pair(side(), side()))).toEqual([]))

describe('silence', () => {
  test('a target of clicks or faint noise is called silent, and nothing that follows from it is reported', () => {
    expect(found(pair(side(), side({ silentShare: 0.99 }), unrelated))).toEqual([
      ['silent-target', 'warning', '99 % silence'],
    ])
    expect(found(pair(side(), side({ silentShare: 1 }), { lagSeconds: 0.4, distance: 0.1 }))).toEqual([
      ['silent-target', 'warning', '100 % silence'],
    ])
  })

  test('a reference of clicks or faint noise is called silent', () => {
    expect(found(pair(side({ silentShare: 0.985 }), side(), unrelated))).toEqual([
      ['silent-reference', 'warning', '98 % silence'],
    ])
  })

  test('a sparse recording is not called silent where its sides match', () => {
    const sparse = pair(side({ silentShare: 0.99 }), side({ silentShare: 0.98 }))
    expect(found(sparse)).toEqual([['silence', 'hint', '98 % silent']])
    expect(isAudible(sparse)).toBe(true)
  })

  test('a target that is silent for the whole clip is called silent, whatever follows', () => {
    expect(found(pair(side(), side({ silentShare: 0.7, silentStartSeconds: 5 })))).toEqual([
      ['silent-target', 'warning', 'silent until 5.0 s'],
    ])
    expect(found(pair(side(), side({ silentShare: 0.7, silentStartSeconds: 4.9 })))).toEqual([])
  })

  test.each(['all', 'random'] as const)('of clips that are left out does not matter with windows %s', (windows) => {
    const late = side({ silentShare: 0.6, silentStartSeconds: 6 }, { seconds: 16, usedSilentShare: 0.1 })
    const long = { ...pair(late, late), clips: { used: 2, all: 2, silent: 1 } }
    expect(found(long, { ...options, windows })).toEqual([])
    const only = { ...pair(side(), late), clips: { used: 1, all: 1, silent: 0 } } // no second clip fits
    expect(found(only, { ...options, windows })).toEqual([['silent-target', 'warning', 'silent until 6.0 s']])
  })

  test('counts in what is used, not in the whole file', () => {
    const start = side({ silentShare: 0.99 }, { usedSilentShare: 0.2 })
    expect(found(pair(start, start))).toEqual([])
    const end = side({ silentShare: 0.2 }, { usedSilentShare: 0.99 })
    expect(found(pair(side(), end))).toEqual([['silent-target', 'warning', '99 % silence']])
  })

  test('a silent side is not unrelated to the other', () => {
    const silent = pair(side(), side({ silentShare: 1 }, { silent: true, peakDbfs: null }), unrelated)
    expect([isAudible(silent), isUnrelated(silent)]).toEqual([false, false])
    expect(found(silent)).toEqual([]) // it is a problem of the file
    expect(isUnrelated(pair(side(), side(), unrelated))).toBe(true)
  })
})

describe('channels', () => {
  test('an inverted channel is a hint with the side', () => {
    const inverted = side({ channelsCancel: true })
    expect(found(pair(inverted, inverted))).toEqual([['inverted-channel', 'hint', '(both sides)']])
    expect(found(pair(side(), inverted))).toEqual([['inverted-channel', 'hint', '(target)']])
  })

  test('a silent channel of a stereo file is a hint, those of other layouts are not', () => {
    const silent = { silentChannels: [1] }
    expect(found(pair(side(silent), side()))).toEqual([['silent-channel', 'hint', '(reference)']])
    expect(found(pair(side(), side(silent, { channelCount: 6 })))).toEqual([])
    expect(found(pair(side(), side({ silentChannels: [0, 1] })))).toEqual([])
  })

  test('channels that cancel each other in the mix that is trained on are a warning', () => {
    const cancelling = (channelCount: number) => side({ channelsCancel: true }, { channelCount })
    expect(found(pair(side(), cancelling(4)))).toEqual([['cancelling-channels', 'warning', '(target)']])
    expect(found(pair(side(), cancelling(6)))).toEqual([])
  })

  test('the inverted polarity of a whole target is a hint, unless one of its channels is inverted', () => {
    expect(found(pair(side(), side(), { inverted: true }))).toEqual([['inverted-polarity', 'hint', undefined]])
    expect(found(pair(side(), side({ channelsCancel: true }), { inverted: true }))).toEqual([
      ['inverted-channel', 'hint', '(target)'],
    ])
  })
})

test('sides that drift apart are not called out of sync, and a short pair may drift', () => {
  const drifting = { lagSeconds: 0.113, driftPpm: -2000 }
  expect(found(pair(side(), side(), drifting))).toEqual([
    ['drift', 'warning', 'drift of −2000.0 ppm (the target runs ahead), from +113 ms on'],
  ])
  expect(found(pair(side(), side(), unrelated))).toEqual([
    ['unrelated', 'warning', '(or drifting: 8.0 s are too short to measure it)'],
  ])
  const long = side({}, { seconds: 9 })
  expect(found(pair(long, long, unrelated))).toEqual([['unrelated', 'warning', undefined]])
})

test('a peak far above full scale is a warning, a moderate one is legal in a float file', () => {
  expect(found(pair(side(), side({}, { peakDbfs: 20.1 })))).toEqual([['far-above-full-scale', 'warning', '(target)']])
  expect(found(pair(side({}, { peakDbfs: 19.9 }), side({}, { peakDbfs: 6 })))).toEqual([])
})
