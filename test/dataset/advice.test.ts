/** The audio analysis of a folder of recordings with deliberate defects. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Waveform } from '../../src/audio/waveform.ts'
import { type Dataset, inspectSource } from '../../src/dataset/dataset.ts'
import { findingText } from '../../src/dataset/problem.ts'
import { duplicateFindings, outlierFindings } from '../../src/dataset/relations.ts'
import { openSource } from '../../src/dataset/source.ts'
import { delayed, louder, performance, radio, room } from '../audio/analysis/sounds.ts'
import { writeWav } from '../audio/signals.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-test-'))
afterAll(() => rmSync(folder, { recursive: true }))

function write(name: string, reference: Waveform, target: Waveform, caption?: string) {
  writeWav(join(folder, `${name}_start.wav`), reference)
  writeWav(join(folder, `${name}_end.wav`), target)
  if (caption !== undefined) writeFileSync(join(folder, `${name}.txt`), caption)
}

const quiet = (seed: number, options = {}) => louder(performance(seed, options), 0.5)
const offset = ({ sampleRate, channels }: Waveform) => ({
  sampleRate,
  channels: channels.map((channel) => channel.map((sample) => sample + 0.1)),
})

let dataset: Dataset

beforeAll(async () => {
  for (const seed of [1, 2, 3, 4]) write(`good-${seed}`, quiet(seed), radio(quiet(seed)), 'v1ntage radio speech')
  write('late', quiet(5), delayed(radio(quiet(5)), 0.037), 'speech')
  write('other', quiet(6), radio(quiet(7)), 'speech')
  write('same', quiet(8), louder(quiet(8), 0.5), 'speech')
  write('loud', quiet(9), clip(louder(radio(quiet(9)), 8)), 'speech')
  write('twice', quiet(1), radio(quiet(1)), 'speech')
  write('contradiction', quiet(2), room(delayed(quiet(2), 0.0001)), 'speech')
  write('offset', offset(quiet(10)), radio(quiet(10)), 'V1ntage Radio speech')
  write('exchanged', radio(quiet(11)), quiet(11), 'speech')
  write('long', quiet(12, { seconds: 6.5 }), radio(quiet(12, { seconds: 6.5 })))
  write('short', quiet(13, { seconds: 1.5 }), radio(quiet(13, { seconds: 1.5 })), 'speech')
  write('phone', quiet(14, { sampleRate: 8000 }), radio(quiet(14, { sampleRate: 8000 })), 'speech')
  write('pauses', padded(quiet(15, { seconds: 0.7 })), padded(radio(quiet(15, { seconds: 0.7 }))), 'speech')
  const source = await openSource(folder)
  const options = {
    triggerPhrase: 'v1ntage radio',
    seconds: 2,
    preservePitch: false,
    normalize: true,
    windows: 'first' as const,
  }
  dataset = await inspectSource(source, options, { analyzeSound: true })
  await source.close()
})

const named = (kind: string) => dataset.advice?.findings.find((finding) => finding.kind === kind)?.pairs

describe('the audio analysis reports', () => {
  const cases: [kind: string, pairs: { name: string; detail?: unknown }[]][] = [
    ['unrelated', [{ name: 'other' }]],
    ['out-of-sync', [{ name: 'late', detail: '+37 ms' }]],
    ['unchanged', [{ name: 'same', detail: '0.0 dB' }]],
    ['clipped-target', [{ name: 'loud', detail: expect.stringMatching(/^\d+ places?$/) }]],
    ['duplicate', [{ name: 'twice', detail: '(as good-1)' }]],
    ['contradiction', [{ name: 'good-2', detail: '(as contradiction)' }]],
    ['offset', [{ name: 'offset', detail: '10 % of full scale' }]],
    ['too-short', [{ name: 'short', detail: '1.50 s' }]],
    ['mostly-unused', [{ name: 'long', detail: '6.50 s' }]],
    ['low-rate', [{ name: 'phone', detail: '8 kHz' }]],
    ['silence', [{ name: 'pauses', detail: expect.stringMatching(/^\d\d % silent$/) }]],
    ['trigger-inside', [{ name: 'offset' }]],
    ['no-caption', [{ name: 'long' }]],
  ]
  test.each(cases)('%s', (kind, pairs) => expect(named(kind)).toEqual(pairs))

  test('the pair with swapped sides as odd', () => {
    expect(named('odd')).toContainEqual({ name: 'exchanged' })
    expect(named('odd')?.map(({ name }) => name)).not.toContain('good-1')
  })

  test('no other problems', () => {
    const known = [...cases.map(([kind]) => kind), 'odd']
    expect(dataset.advice?.findings.map(({ kind }) => kind).filter((kind) => !known.includes(kind))).toEqual([])
  })
})

test('warnings are listed before hints', () => {
  const severities = dataset.advice?.findings.map(({ severity }) => severity) ?? []
  expect(severities).toEqual([...severities].sort().reverse())
})

test('the measurements of sides and pairs can be serialized as JSON', () => {
  const late = dataset.pairs.find(({ name }) => name === 'late')
  expect(late?.sound).toMatchObject({ common: 'waveform', lagSeconds: expect.closeTo(0.037, 3) })
  expect(late?.reference.audio?.sound).toMatchObject({ clippedPlaces: 0, loudness: expect.any(Number) })
  expect(JSON.parse(JSON.stringify(dataset))).toEqual(dataset)
})

test('a clip length that uses nearly all of the sound is recommended', () => {
  expect(dataset.advice?.recommendedSeconds).toBe(3)
  expect(dataset.advice?.buckets[0]).toEqual({ seconds: 1.5, pairs: 16 })
})

test('a finding is printed in one line with the pairs and their values', () => {
  const pairs = [{ name: 'a', detail: '+37 ms' }, { name: 'b' }, { name: 'c' }]
  const finding = { kind: 'x', severity: 'hint', what: 'Out of sync', hint: '', pairs } as const
  expect(findingText(finding)).toBe('Out of sync, 3 pairs: a +37 ms, b, c')
  expect(findingText(finding, 1)).toBe('Out of sync, 3 pairs: a +37 ms, 2 more')
})

test('the dataset contains no advice without the audio analysis', async () => {
  const source = await openSource(folder)
  const options = { triggerPhrase: '', seconds: 2, preservePitch: false, normalize: true, windows: 'first' as const }
  const withoutAnalysis = await inspectSource(source, options)
  await source.close()
  expect(withoutAnalysis).not.toHaveProperty('advice')
  expect(withoutAnalysis.pairs[0]).not.toHaveProperty('sound')
})

function clip({ sampleRate, channels }: Waveform): Waveform {
  return { sampleRate, channels: channels.map((channel) => channel.map((x) => Math.max(-1, Math.min(1, x)))) }
}

function padded({ sampleRate, channels }: Waveform): Waveform {
  return {
    sampleRate,
    channels: channels.map((channel) => {
      const longer = new Float32Array(3 * sampleRate)
      longer.set(channel, sampleRate / 4)
      return longer
    }),
  }
}

test('a pair is changed differently where it is opposite to the others, not where it has nothing in common with them', () => {
  const pairs = ['opposite', 'other effect', 'alike'].map((name) => ({ name }))
  const findings = outlierFindings(pairs, { share: 0.5, similarities: [-0.15, -0.05, 0.9] })
  expect(findings).toMatchObject([{ kind: 'odd', pairs: [{ name: 'opposite' }] }])
})

test('one reference twice is a contradiction or a duplicate only where the captions are the same', () => {
  const copies = [
    { reference: 0, target: 0, related: 0 },
    { reference: 0, target: 1, related: 0 },
  ]
  const kinds = (captions: string[]) =>
    duplicateFindings(copies.map((copies, i) => ({ name: `p${i}`, copies, caption: captions[i] as string }))).map(
      ({ kind }) => kind,
    )
  expect(kinds(['a voice', 'a voice'])).toEqual(['contradiction'])
  expect(kinds(['a voice, over a telephone', 'a voice, in a hall'])).toEqual([])
  const same = { reference: 0, target: 0, related: 0 }
  const twice = (captions: string[]) =>
    duplicateFindings(captions.map((caption, i) => ({ name: `p${i}`, copies: same, caption }))).map(({ kind }) => kind)
  expect(twice(['a voice', 'a voice'])).toEqual(['duplicate'])
  expect(twice(['a voice', ''])).toEqual(['duplicate'])
  expect(twice(['a voice, dark', 'a voice, bright'])).toEqual([]) // slightly different targets look the same
})
