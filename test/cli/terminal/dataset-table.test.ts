import { stripVTControlCharacters } from 'node:util'
import { expect, test } from 'vitest'
import { datasetTable } from '../../../src/cli/terminal/dataset-table.ts'
import type { Dataset } from '../../../src/dataset/dataset.ts'
import type { DatasetPair } from '../../../src/dataset/pair-inspection.ts'
import type { Finding } from '../../../src/dataset/problem.ts'

const side = (path: string, seconds: number) => ({
  path,
  audio: { seconds, sampleRate: 44_100, channelCount: 2, peakDbfs: -3.1, silent: false },
})

const pairs: DatasetPair[] = [
  {
    name: 'drums',
    reference: side('drums_start.wav', 5.2),
    target: side('drums_end.wav', 5),
    caption: 'tonech4nge dry drums',
    clips: { used: 1, all: 1, silent: 0 },
    plan: { use: true, reference: { how: 'stretch', factor: 5 / 5.2 }, target: { how: 'as-is' } },
  },
  {
    name: 'a-pair-with-a-name-much-longer-than-any-column',
    reference: side('x_start.wav', 9),
    target: {
      path: 'x_end.mp3',
      audio: { seconds: 9, sampleRate: 48_000, channelCount: 6, peakDbfs: null, silent: true },
    },
    caption: '',
    clips: { used: 1, all: 1, silent: 0 },
    plan: { use: true, reference: { how: 'trim' }, target: { how: 'trim' } },
  },
  {
    name: 'short',
    reference: { path: 'short_start.wav', audio: null },
    target: side('short_end.wav', 2),
    caption: '',
    clips: { used: 0, all: 0, silent: 0 },
    plan: { use: false, reason: 'reference cannot be read' },
  },
]

const alignment = {
  common: 'waveform',
  lagSeconds: 0,
  inverted: false,
  waveformMatch: 0.4,
  timingMatch: 0.8,
  distance: 6.2,
} as const

const dataset: Dataset = {
  name: 'takes',
  location: 'takes.zip',
  options: { triggerPhrase: 'tonech4nge', seconds: 5, preservePitch: true, normalize: true, windows: 'first' as const },
  pairs,
  problems: [
    { severity: 'error', message: 'short_start.wav cannot be read as .wav audio', hint: 'export it again' },
    { severity: 'hint', message: 'only 3 pairs: train on 10 or more for good results' },
  ],
  counts: { pairs: 3, used: 2, skipped: 1, stretched: 1, trimmed: 1, asIs: 0, clips: 2, allClips: 2 },
}

test('the table shows each pair and its outcome, the problems and the totals', () => {
  expect(`\n${datasetTable(dataset)}`).toMatchInlineSnapshot(`
    "
    pair                      seconds      kHz        LUFS        lag  outcome              caption a…
    drums                     5.20 → 5.00  44.1       –             –  stretched ×0.96      dry drums
    a-pair-with-a-name-much…  9.00         44.1 → 48  – → silent    –  trimmed              –
    short                     ? → 2.00     ? → 44.1   ? → –         –  skipped, unreadable  –

    error: short_start.wav cannot be read as .wav audio
      export it again
    hint: only 3 pairs: train on 10 or more for good results

    takes: 2 of 3 pairs used at 5 s (1 stretched, 1 trimmed), 1 skipped · 1 error to correct before training, 1 hint
    "
  `)
})

test('with clips from random places nothing is called trimmed', () => {
  const table = datasetTable({ ...dataset, options: { ...dataset.options, windows: 'random' } })
  expect(table).toMatch(/random places/)
  expect(table).toContain('2 of 3 pairs used in clips from random places at 5 s (1 stretched, 1 longer), 1 skipped')
  expect(table).not.toContain('trimmed')
})

test('the table shows the results of the audio analysis and highlights only problems', () => {
  const [drums] = pairs as [DatasetPair]
  const sound = { ...alignment, lagSeconds: 0.0374 }
  const findings: Finding[] = [
    {
      kind: 'out-of-sync',
      severity: 'warning',
      what: 'Out of sync',
      hint: 'move it',
      pairs: [{ name: 'drums', detail: '+37 ms' }],
    },
  ]
  const advice = {
    buckets: [
      { seconds: 2, pairs: 3 },
      { seconds: 5, pairs: 1 },
    ],
    recommendedSeconds: 2,
    agreement: 0.57,
    findings,
  }
  const analyzed = {
    ...dataset,
    problems: [],
    pairs: [
      { ...drums, sound },
      { ...drums, name: 'bells', sound: alignment },
    ],
    advice,
  }
  const lines = datasetTable(analyzed, { columns: 130 })
  expect(`\n${lines}`).toMatchInlineSnapshot(`
    "
    pair   seconds      format  kHz   channels  LUFS     lag  outcome          caption after "tonech4nge"
    drums  5.20 → 5.00  wav     44.1  stereo    –     +37 ms  stretched ×0.96  dry drums
    bells  5.20 → 5.00  wav     44.1  stereo    –       0 ms  stretched ×0.96  dry drums

    What to fix first
      1. Out of sync, 1 pair: drums +37 ms
         move it

    Pairs that each clip length keeps
       2.0 s ████████████████████████ 3
       5.0 s ████████░░░░░░░░░░░░░░░░ 1
      recommended: --audio-duration-seconds 2 (now 5)

    The pairs change their sounds in similar ways: 57 % of the change is common to all.

    takes: 2 of 3 pairs used at 5 s (1 stretched, 1 trimmed), 1 skipped
    "
  `)
  const colored = datasetTable(analyzed, { columns: 130, color: true })
  expect(colored).toContain('\u001b[33m+37 ms\u001b[39m')
  expect(colored).not.toContain('\u001b[33m0 ms')
})

test.each([80, 100, 160])('the table fits into %i columns with one line per pair', (columns) => {
  const { name, plan } = pairs[2] as DatasetPair
  const lines = datasetTable({ ...dataset, problems: [] }, { columns }).split('\n')
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(columns)
  expect(lines.slice(1, 4).map((line) => line.split(' ')[0])).toEqual([
    'drums',
    expect.stringMatching(/^a-pair-with-a-name-.*…$/),
    name,
  ])
  expect(plan.use).toBe(false)
})

test('colors do not change the text', () => {
  const colored = datasetTable(dataset, { color: true })
  expect(colored).not.toBe(datasetTable(dataset))
  expect(stripVTControlCharacters(colored)).toBe(datasetTable(dataset))
})

test('control characters in names, captions and messages do not reach the terminal', () => {
  const evil = 'drums\u001b[2J\u0007\n\u202enext\u200b'
  const [pair] = pairs as [DatasetPair]
  const problems: Dataset['problems'] = [{ severity: 'warning', message: evil, hint: evil }]
  const text = datasetTable({ ...dataset, pairs: [{ ...pair, name: evil, caption: evil }], problems })
  expect(text.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\u202e\u200b]/u)
  expect(text).toContain('warning: drums [2J next')
})

test('no table is shown without pairs', () => {
  const counts = { pairs: 0, used: 0, skipped: 0, stretched: 0, trimmed: 0, asIs: 0, clips: 0, allClips: 0 }
  const problems: Dataset['problems'] = [{ severity: 'error', message: 'there is no pair' }]
  expect(datasetTable({ ...dataset, pairs: [], problems, counts })).toBe(
    'error: there is no pair\n\ntakes: 0 of 0 pairs used at 5 s · 1 error to correct before training\n',
  )
})
