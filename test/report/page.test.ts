import { inflateSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import type { PairComparison } from '../../src/audio/analysis/pair-comparison.ts'
import type { BestCheckpoint, Verdict } from '../../src/audio/analysis/verdict.ts'
import type { DatasetPair } from '../../src/dataset/pair-inspection.ts'
import { crc32, crc32c } from '../../src/formats/crc.ts'
import { datasetPage } from '../../src/report/dataset-page.ts'
import { axisNumber, lineChart, stepTicks, ticks } from '../../src/report/page/charts.ts'
import { html } from '../../src/report/page/page.ts'
import { encodePng } from '../../src/report/page/player.ts'
import { runPage, selectPreviews } from '../../src/report/run-page.ts'
import { dataset } from '../pages/run.ts'

describe('the html template', () => {
  test('shows no characters that change the writing direction or are invisible', () => {
    expect(html`<b>${'drums\u202egpj\u200b\u001b'}</b>`.markup).toBe('<b>drumsgpj</b>')
  })

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

describe('the axes of a chart', () => {
  const chart = (points: [number, number][], more: object = {}) =>
    lineChart({ title: 'Loss', series: [{ name: 'loss', points }], ...more }).markup
  const texts = (markup: string) => [...markup.matchAll(/<text[^>]*>([^<]*)</g)].map(([, text]) => text)
  const positions = (markup: string) =>
    [...markup.matchAll(/[ML]([\d.]+ [\d.]+)/g)].map(([, point]) => (point as string).split(' ').map(Number))

  test.each([
    [120, [0, 50, 100, 120]],
    [1, [0, 1]],
    [2, [0, 1, 2]],
    [10, [0, 5, 10]],
    [2000, [0, 500, 1000, 1500, 2000]],
    [2100, [0, 1000, 2100]],
  ])('of %d steps end at the last step, at whole round numbers before it', (last, expected) =>
    expect(stepTicks(last)).toEqual(expected),
  )

  test('of a run of 120 steps do not run to 150, also where a series ends earlier', () => {
    const markup = chart(
      [
        [1, 1],
        [60, 2],
      ],
      { lastX: 120 },
    )
    expect(texts(markup).slice(-4)).toEqual(['0', '50', '100', '120'])
    expect(positions(markup).at(-1)?.[0]).toBe(60 + 370 / 2)
  })

  test('of a constant begin at 0', () => {
    expect(ticks([0.005, 0.005])).toEqual([0, 0.002, 0.004, 0.006])
    expect(ticks([-3, -3])).toEqual([-3, -2, -1, 0])
    expect(ticks([1, 1 + 2 ** -52])[0]).toBe(0)
  })

  test('have negative, huge and nearly equal values with distinct texts', () => {
    expect(ticks([-1, 1])).toEqual([-1, -0.5, 0, 0.5, 1])
    expect([1e6, 2.5e30, -1e9].map(axisNumber)).toEqual(['1e6', '2.5e30', '−1e9'])
    const labels = texts(
      chart([
        [0, 0.59894],
        [1, 0.59896],
      ]),
    ).slice(0, -2)
    expect(new Set(labels).size).toBe(labels.length)
    expect(
      chart([
        [0, -3e38],
        [1, 3e38],
      ]),
    ).not.toMatch(/NaN|Infinity/)
  })

  test('do not include values that are not finite', () => {
    const markup = chart([
      [0, 1],
      [1, Number.NaN],
      [2, Infinity],
      [3, 2],
    ])
    expect(markup).not.toMatch(/NaN|Infinity/)
    expect(positions(markup)).toHaveLength(2)
    expect(chart([[1, Number.NaN]])).toContain('no values yet')
  })
})

test('a chart has a line with words at each of its marks', () => {
  const points = [
    [0, 1],
    [100, 2],
  ] as const
  const marks = [
    { x: 0, text: 'best: step 0' },
    { x: 100, text: 'since <step> 100' },
  ]
  const { markup } = lineChart({ title: 'Loss', series: [{ name: 'loss', points }], marks })
  const at = [...markup.matchAll(/class="mark" x1="([\d.]+)"/g)].map(([, x]) => Number(x))
  expect(at).toEqual([60, 430])
  expect(markup).toMatch(/text-anchor="start">best: step 0</)
  expect(markup).toMatch(/text-anchor="end">since &lt;step&gt; 100</)
})

test('a series of a single point is drawn as a dot, because a line of one point is invisible', () => {
  const { markup } = lineChart({ title: 'Loss', series: [{ name: 'loss', points: [[5, 1]] }] })
  expect(markup.match(/<circle/g)).toHaveLength(1)
  expect(markup).not.toContain('class="line"')
})

test('a series keeps its color while another is empty', () => {
  const points = [
    [1, 1],
    [2, 2],
  ] as const
  const { markup } = lineChart({
    title: 'Loss',
    series: [
      { name: 'first', points: [] },
      { name: 'second', points },
    ],
  })
  expect(markup).toContain('class="series-1">second')
  expect(markup).not.toContain('first')
})

test('control characters of names do not get into a page', () => {
  const name = 'run\u001b[31m\u0000\u0007 <b>'
  expect(html`<p title="${name}">${name}</p>`.markup).not.toMatch(/\p{Cc}/u)
  const [pair] = dataset.pairs as [DatasetPair]
  const pairs = [{ ...pair, name, caption: 'a\u0000b', reference: { ...pair.reference, path: `${name}_start.wav` } }]
  const problems = [{ severity: 'error' as const, message: `${name} is silent`, hint: `move ${name}` }]
  expect(datasetPage({ ...dataset, name, pairs, problems }, new Map())).not.toMatch(/[^\P{Cc}\n]/u)
})

describe('the verdict on the page of a run', () => {
  const sound = { dataUri: '', seconds: 1, spectrogram: '', peaks: [] }
  const numbers = { follows: 0.7, timing: 0.09, lagSeconds: 0, toReference: 7 }
  const run = (verdicts: Verdict[], best?: BestCheckpoint) =>
    runPage({
      ...{ name: 'run', state: 'running', step: 1, steps: 2, written: '', settings: [], files: [], dataset },
      metrics: [{ step: 1, loss: 1 }],
      validation: [
        { prompt: '', reference: sound, previews: verdicts.map((verdict, step) => ({ step, sound, verdict })) },
      ],
      reconstructions: [],
      best,
      choices: best ? 2 : 0,
    })
  const text = (markup: string) => markup.replaceAll(/<[^>]*>/g, '')

  test('is not given before training', () => {
    const markup = run([{ word: null, ...numbers }])
    expect(text(markup)).toContain('There is no verdict before training')
    expect(text(markup)).not.toMatch(/the verdict is|transformed ·|null/)
    expect(markup).not.toContain('Best checkpoint')
  })

  test('says what the preview was compared with', () => {
    const base: Verdict = { word: null, ...numbers }
    const compared = { ...numbers, toBase: 3, toTarget: 5 }
    expect(text(run([base, { word: 'transformed', ...compared }]))).toContain(
      'It was compared with the base and the target.',
    )
    expect(text(run([base, { word: 'transformed', ...numbers }]))).toContain('There is no preview of the base')
  })

  test('names the file of the best checkpoint, or says that none was saved', () => {
    const verdicts: Verdict[] = [
      { word: null, ...numbers },
      { word: 'transformed', ...numbers },
    ]
    const best = { step: 1, reason: '1 of 1 preview transformed', lora: 'checkpoints/lora-00001.safetensors' }
    expect(text(run(verdicts, best))).toContain(
      'step 1: 1 of 1 preview transformed · checkpoints/lora-00001.safetensors',
    )
    expect(text(run(verdicts))).toContain('Not chosen: no step has both previews and a saved LoRA')
  })

  test('has every number explained', () => {
    const page = text(
      run([
        { word: null, ...numbers },
        { word: 'off-target', ...numbers, toBase: 3, toTarget: 5 },
      ]),
    )
    for (const term of [
      'envelopes: ',
      'onsets: ',
      'lag: ',
      'dB from the reference, the target, the base: ',
      'Fixed: ',
      'sigma',
    ])
      expect(page).toContain(term)
    for (const word of ['ignored', 'copied', 'unchanged', 'off-target', 'transformed'])
      expect(page).toContain(`${word}: `)
  })
})

test('the page of a dataset explains its numbers', () => {
  const page = datasetPage(dataset, new Map()).replaceAll(/<[^>]*>/g, '')
  for (const term of [
    '100 % would be',
    'Places: ',
    'kHz: ',
    'Loudness: ',
    'Peak: ',
    'Lag: ',
    'Difference: ',
    'Stretched: ',
  ])
    expect(page).toContain(term)
  expect(page).toContain('20 pairs')
})

test('a recording that cannot be played has a message in place of its player', () => {
  const sound = { dataUri: '', seconds: 1, spectrogram: '', peaks: [] }
  const sounds = new Map([['pair-1', { reference: sound, target: 'pair-1_end.wav cannot be read' }]])
  const markup = datasetPage(dataset, sounds)
  expect(markup).toContain('It cannot be played: pair-1_end.wav cannot be read')
  expect(markup.match(/<audio/g)).toHaveLength(1)
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
    [
      ...(markup.split(`<td>${row}</td>`)[1]?.split('</tr>')[0] ?? '').matchAll(
        /<td class="number[^"]*"[^>]*>([^<]*)/g,
      ),
    ].map(([, text]) => text)

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
      choices: 1,
    })
    expect(markup).toContain('onsets 0.00 · – from the reference · 3.0 dB from the base')
    expect(markup).not.toContain('from the target')
    expect(markup).toContain('distance –<')
    expect(markup).not.toContain(' left ·')
  })
})
