import { inflateSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import type { PairComparison } from '../../src/audio/analysis/pair-comparison.ts'
import type { Verdict } from '../../src/audio/analysis/verdict.ts'
import type { DatasetPair } from '../../src/dataset/pair-inspection.ts'
import { crc32, crc32c } from '../../src/formats/crc.ts'
import { datasetPage } from '../../src/report/dataset-page.ts'
import { axisNumber, lineChart, ticks } from '../../src/report/page/charts.ts'
import { html } from '../../src/report/page/page.ts'
import { encodePng } from '../../src/report/page/player.ts'
import { runPage, selectPreviews } from '../../src/report/run-page.ts'
import { dataset } from '../pages/run.ts'

describe('the html template', () => {
  test('escapes inserted text', () => {
    const evil = `<img src=x onerror="alert('&')">`
    expect(html`<b title="${evil}">${evil}</b>`.markup).toBe(
      '<b title="&lt;img src=x onerror=&quot;alert(&#39;&amp;&#39;)&quot;&gt;">&lt;img src=x onerror=&quot;alert(&#39;&amp;&#39;)&quot;&gt;</b>',
    )
  })

  test('joins lists, keeps markup, and omits missing values', () => {
    expect(html`<ul>${['a', 'b'].map((item) => html`<li>${item}</li>`)}${false}${undefined}${0}</ul>`.markup).toBe(
      '<ul><li>a</li><li>b</li>0</ul>',
    )
  })
})

test('CRC-32 and CRC-32C match the standard check values', () => {
  const digits = Buffer.from('123456789')
  expect([crc32(digits), crc32c(digits)]).toEqual([0xcbf43926, 0xe3069283])
})

test('a PNG image contains its pixels row by row', () => {
  const png = Buffer.from(
    encodePng({
      width: 3,
      height: 2,
      pixels: Uint8Array.of(0, 1, 2, 2, 1, 0),
      palette: Uint8Array.of(0, 0, 0, 9, 9, 9, 7, 7, 7),
    }),
  )
  expect(png.readUInt32BE(16)).toBe(3)
  expect(png.readUInt32BE(20)).toBe(2)
  const at = png.indexOf('IDAT')
  const data = png.subarray(at + 4, at + 4 + png.readUInt32BE(at - 4))
  expect([...inflateSync(data)]).toEqual([0, 0, 1, 2, 0, 2, 1, 0])
})

describe('a chart', () => {
  test('has round tick values that enclose its data', () => {
    expect(ticks([0, 2000])).toEqual([0, 500, 1000, 1500, 2000])
    expect(ticks([0.4312, 0.9])).toEqual([0.4, 0.6, 0.8, 1])
    expect(ticks([2e-4, 2e-5])).toEqual([0, 5e-5, 1e-4, 1.5e-4, 2e-4])
    expect(ticks([3])).toContain(3)
    expect(ticks([0, 0]).length).toBeGreaterThan(1)
  })

  test('shows short axis numbers', () => {
    expect([0, 0.4312, 2000, 1e-4, 2.5e-5, -3].map(axisNumber)).toEqual(['0', '0.431', '2000', '1e−4', '2.5e−5', '−3'])
  })

  test('shows the latest values, or that there are none yet', () => {
    const series = [{ name: 'loss', points: [[1, 0.9] as const, [2, 0.5] as const] }]
    const { markup } = lineChart({ title: 'Loss', series, format: (value) => value.toFixed(2) })
    expect(markup).toContain('loss <b>0.50</b>')
    expect(markup).not.toMatch(/NaN|Infinity|undefined/)
    expect(lineChart({ title: 'Loss', series: [] }).markup).toContain('no values yet')
  })
})

test('of many previews the first, the last, the best and some others are shown', () => {
  const previews = Array.from({ length: 80 }, (_, i) => ({ step: 250 * (80 - i) }))
  const shown = selectPreviews(previews, { step: 1000, reason: '' }).map(({ step }) => step)
  expect(shown).toHaveLength(12)
  expect(shown).toEqual(expect.arrayContaining([20_000, 1000, 250]))
  expect(selectPreviews(previews.slice(0, 12), undefined)).toHaveLength(12)
})

describe('an unknown value is shown as –, not as 0,', () => {
  const cells = (markup: string, row: string) =>
    [...(markup.split(`<td>${row}</td>`)[1]?.split('</tr>')[0] ?? '').matchAll(/<td class="number[^"]*">([^<]*)/g)].map(
      ([, text]) => text,
    )

  test('in the table of pairs', () => {
    const [pair] = dataset.pairs as [DatasetPair]
    const audio = { ...(pair.target.audio as NonNullable<DatasetPair['target']['audio']>), peakDbfs: null }
    const pairs: DatasetPair[] = [
      { ...pair, name: 'unreadable', reference: { path: 'a', audio: null }, target: { path: 'b', audio: null } },
      {
        ...pair,
        name: 'silent',
        target: { ...pair.target, audio: { ...audio, sound: undefined as never } },
        sound: { ...(pair.sound as PairComparison), lagSeconds: null, distance: null },
      },
    ]
    const markup = datasetPage({ ...dataset, pairs }, new Map())
    expect(cells(markup, 'unreadable').slice(0, 4)).toEqual(['–', '–', '–', '–'])
    expect(cells(markup, 'silent').slice(2)).toEqual(['−18.2 → –', '−3.1 → –', '–', '–'])
  })

  test('for a preview and a reconstruction', () => {
    const sound = { dataUri: '', seconds: 1, spectrogram: '', peaks: [] }
    const verdict: Verdict = { word: 'ignored', follows: 0.1, timing: 0, lagSeconds: 0, toReference: null, toBase: 3 }
    const markup = runPage({
      ...{ name: 'run', state: 'running', step: 1, steps: 2, written: '', settings: [], files: [], dataset },
      metrics: [{ step: 1, loss: 1 }],
      validation: [{ prompt: '', reference: sound, previews: [{ step: 1, sound, verdict }] }],
      reconstructions: [{ name: 'pair-1', original: sound, reconstructed: sound, distance: null }],
    })
    expect(markup).toContain('onsets 0.00 · – from the reference · 3.0 dB from the base')
    expect(markup).not.toContain('from the target')
    expect(markup).toContain('distance –<')
    expect(markup).not.toContain(' left ·')
  })
})
