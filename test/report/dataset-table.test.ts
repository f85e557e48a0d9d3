import { stripVTControlCharacters } from 'node:util'
import { expect, test } from 'vitest'
import type { Dataset } from '../../src/dataset/dataset.ts'
import type { DatasetPair } from '../../src/dataset/inspection.ts'
import { datasetTable } from '../../src/report/dataset-table.ts'

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
    plan: { use: true, reference: { how: 'trim' }, target: { how: 'trim' } },
  },
  {
    name: 'short',
    reference: { path: 'short_start.wav', audio: null },
    target: side('short_end.wav', 2),
    caption: '',
    plan: { use: false, reason: 'reference cannot be read' },
  },
]

const dataset: Dataset = {
  name: 'takes',
  location: 'takes.zip',
  options: { triggerPhrase: 'tonech4nge', seconds: 5, preservePitch: true, normalize: true },
  pairs,
  problems: [
    { severity: 'error', message: 'short_start.wav cannot be read as .wav audio', hint: 'export it again' },
    { severity: 'hint', message: '3 pairs are few: 10 or more train better' },
  ],
  counts: { pairs: 3, used: 2, skipped: 1, stretched: 1, trimmed: 1, asIs: 0 },
}

test('shows each pair with what becomes of it, the problems, and the sum', () => {
  expect(`\n${datasetTable(dataset)}`).toMatchInlineSnapshot(`
    "
    ┌────────────────────┬─────────────────┬─────────────────┬────────────────────┬────────────────────┐
    │ pair               │ reference       │ target          │ outcome            │ caption            │
    ├────────────────────┼─────────────────┼─────────────────┼────────────────────┼────────────────────┤
    │ drums              │ 5.20 s 44.1 kHz │ 5.00 s 44.1 kHz │ used, stretched    │ tonech4nge dry     │
    │                    │ stereo -3.1 dB  │ stereo -3.1 dB  │ reference ×0.962   │ drums              │
    ├────────────────────┼─────────────────┼─────────────────┼────────────────────┼────────────────────┤
    │ a-pair-with-a-name │ 9.00 s 44.1 kHz │ 9.00 s 48 kHz   │ used, trimmed      │ –                  │
    │ -much-longer-than- │ stereo -3.1 dB  │ 5.1 silent      │                    │                    │
    │ any-column         │                 │                 │                    │                    │
    ├────────────────────┼─────────────────┼─────────────────┼────────────────────┼────────────────────┤
    │ short              │ unreadable      │ 2.00 s 44.1 kHz │ skipped            │ –                  │
    │                    │                 │ stereo -3.1 dB  │ reference cannot   │                    │
    │                    │                 │                 │ be read            │                    │
    └────────────────────┴─────────────────┴─────────────────┴────────────────────┴────────────────────┘

    error: short_start.wav cannot be read as .wav audio
      export it again
    hint: 3 pairs are few: 10 or more train better

    takes: 2 of 3 pairs used at 5 s (1 stretched, 1 trimmed), 1 skipped · 1 error, 1 hint
    "
  `)
})

test.each([80, 100, 160])('keeps to %i columns', (columns) => {
  const lines = datasetTable({ ...dataset, problems: [] }, { columns }).split('\n')
  expect(Math.max(...lines.map((line) => line.length))).toBe(columns)
})

test('colours add nothing but colour', () => {
  const colored = datasetTable(dataset, { color: true })
  expect(colored).not.toBe(datasetTable(dataset))
  expect(stripVTControlCharacters(colored)).toBe(datasetTable(dataset))
})

test('control characters in names, captions and messages do not reach the terminal', () => {
  const evil = 'drums\u001b[2J\u0007\nnext'
  const [pair] = pairs as [DatasetPair]
  const problems: Dataset['problems'] = [{ severity: 'warning', message: evil, hint: evil }]
  const text = datasetTable({ ...dataset, pairs: [{ ...pair, name: evil, caption: evil }], problems })
  expect(text.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u)
  expect(text).toContain('warning: drums [2J next')
})

test('without pairs there is no table', () => {
  const counts = { pairs: 0, used: 0, skipped: 0, stretched: 0, trimmed: 0, asIs: 0 }
  const problems: Dataset['problems'] = [{ severity: 'error', message: 'there is no pair' }]
  expect(datasetTable({ ...dataset, pairs: [], problems, counts })).toBe(
    'error: there is no pair\n\ntakes: 0 of 0 pairs used at 5 s · 1 error\n',
  )
})
