/** A dataset as a page: the advice, every pair in a table, and the pairs that are worth a look with pictures and players. */

import { compressAudio } from '../audio/compress.ts'
import { decodeAudio } from '../audio/decode.ts'
import { toStereo } from '../audio/waveform.ts'
import { consistencyText, lengthAdvice } from '../dataset/advice.ts'
import type { Dataset } from '../dataset/dataset.ts'
import { sampleBuckets } from '../dataset/fit-plan.ts'
import type { DatasetPair, DatasetSide } from '../dataset/pair-inspection.ts'
import type { Finding } from '../dataset/problem.ts'
import { lagText, tolerableLagSeconds } from '../dataset/sound-findings.ts'
import type { Source } from '../dataset/source.ts'
import { replaceFile } from '../platform/files.ts'
import { createReporter, type ProgressEvent, type RunOptions } from '../platform/progress.ts'
import { decimalText } from '../platform/text.ts'
import { barChart } from './page/charts.ts'
import { facts, html, type Markup, page, section } from './page/page.ts'
import { type PageSound, pageSound, player } from './page/player.ts'

/** Both sides of a pair, by its name. */
export type PairSounds = ReadonlyMap<string, { reference: PageSound; target: PageSound }>

/** More players than these make a page too heavy to mail. */
export const mostPlayers = 24

const mostBars = 12

/** The pairs to hear: those with findings first, then the others, in the order of the dataset. */
export function pairsToHear({ pairs, advice }: Dataset): DatasetPair[] {
  const flagged = new Set(
    advice?.findings.filter(isAboutSound).flatMap((finding) => finding.pairs.map(({ name }) => name)),
  )
  const readable = pairs.filter(({ reference, target }) => reference.audio && target.audio)
  const first = readable.filter(({ name }) => flagged.has(name))
  const chosen = new Set([...first, ...readable].slice(0, mostPlayers))
  return readable.filter((pair) => chosen.has(pair))
}

const isAboutSound = ({ kind, pairs }: Finding) =>
  !/caption|trigger|short|unused/.test(kind) && pairs.length < mostPlayers

export function datasetPage(dataset: Dataset, sounds: PairSounds): string {
  const { name, location, counts, options, advice } = dataset
  return page({
    title: `Dataset ${name}`,
    lead: html`${counts.used} of ${counts.pairs} pairs used at ${options.seconds} s · <span class="faint">${location}</span>`,
    sections: [
      problemSection(dataset),
      advice && adviceSection(advice.findings),
      advice && lengthSection(advice, options.seconds),
      settingsSection(dataset),
      pairSection(dataset),
      soundSection(dataset, sounds),
    ],
  })
}

function problemSection({ problems }: Dataset): Markup | undefined {
  if (problems.length === 0) return undefined
  const looks = { error: 'bad', warning: 'fair', hint: 'faint' }
  return section(
    'Problems',
    html`<ul>${problems.map(
      ({ severity, message, hint }) =>
        html`<li><b class="${looks[severity]}">${severity}</b> ${message}${hint !== undefined && html`<br><small>${hint}</small>`}</li>`,
    )}</ul>`,
  )
}

const mostNames = 12

function adviceSection(findings: readonly Finding[]): Markup {
  if (findings.length === 0) return section('What to fix first', html`<p class="good">Nothing was found.</p>`)
  return section(
    'What to fix first',
    html`<ol>${findings.map(
      ({ severity, what, pairs, hint }) =>
        html`<li><b${severity === 'warning' && html` class="fair"`}>${what}</b> <span class="faint">${pairs.length} ${pairs.length === 1 ? 'pair' : 'pairs'}</span>: ${nameList(pairs)}<br><small>${hint}</small></li>`,
    )}</ol>`,
  )
}

const nameList = (pairs: Finding['pairs']): string => {
  const names = pairs.slice(0, mostNames).map(({ name, detail }) => (detail ? `${name} ${detail}` : name))
  return [...names, ...(pairs.length > mostNames ? [`${pairs.length - mostNames} more`] : [])].join(', ')
}

function lengthSection({ buckets, recommendedSeconds, agreement }: NonNullable<Dataset['advice']>, seconds: number) {
  const bars = sampleBuckets(buckets, mostBars).map((bucket) => ({
    label: `${bucket.seconds.toFixed(1)} s`,
    value: bucket.pairs,
    chosen: bucket.seconds === recommendedSeconds,
  }))
  return section(
    'Pairs that each clip length keeps',
    barChart(bars),
    html`<p>${lengthAdvice(recommendedSeconds, seconds)}</p>`,
    agreement === null ? undefined : html`<p>${consistencyText(agreement)}</p>`,
  )
}

function settingsSection({ options, counts }: Dataset): Markup {
  return section(
    'What a training would use',
    facts([
      ['clip length', `${options.seconds} s`],
      ['trigger phrase', options.triggerPhrase || '–'],
      ['used', counts.used],
      ['skipped', counts.skipped],
      ['stretched', counts.stretched],
      ['trimmed', counts.trimmed],
    ]),
  )
}

function pairSection({ pairs }: Dataset): Markup {
  const numbers = ['seconds', 'kHz', 'LUFS', 'peak dB', 'lag', 'difference']
  return section(
    'Pairs',
    html`<div class="scroll"><table><thead><tr><th>pair</th>${numbers.map((title) => html`<th class="number">${title}</th>`)}<th>outcome</th><th>caption</th></tr></thead>
<tbody>${pairs.map(pairRow)}</tbody></table></div>`,
    html`<p class="faint">Lag: how much later the target is. Difference: how unlike the two sides sound, in decibels; 1 is hardly audible, 6 a radio, 15 another sound.</p>`,
  )
}

function pairRow(pair: DatasetPair): Markup {
  const { name, sound, plan, caption } = pair
  const isLate = Math.abs(sound?.lagSeconds ?? 0) >= tolerableLagSeconds
  const lag = sound?.common === 'nothing' ? 'unrelated' : sound?.lagSeconds == null ? '–' : lagText(sound.lagSeconds)
  const outcome = plan.use ? outcomeText(plan) : `skipped: ${plan.reason}`
  const number = (text: string, wrong = false) => html`<td class="number${wrong && ' fair'}">${text}</td>`
  return html`<tr><td>${name}</td>${number(both(pair, ({ seconds }) => seconds.toFixed(2)))}${number(
    both(pair, ({ sampleRate }) => `${sampleRate / 1000}`),
  )}${number(both(pair, ({ sound }) => signed(sound?.loudness)))}${number(both(pair, ({ peakDbfs }) => signed(peakDbfs)))}${number(
    lag,
    isLate || sound?.common === 'nothing',
  )}${number(sound?.distance == null ? '–' : sound.distance.toFixed(1))}<td${!plan.use && html` class="fair"`}>${outcome}</td><td>${caption}</td></tr>\n`
}

type Audio = NonNullable<DatasetSide['audio']>

function both({ reference, target }: DatasetPair, text: (audio: Audio) => string): string {
  const [first, second] = [reference, target].map(({ audio }) => (audio ? text(audio) : '?'))
  return first === second ? `${first}` : `${first} → ${second}`
}

const signed = (value: number | null | undefined) => (value == null ? '–' : decimalText(value, 1))

function outcomeText(plan: Extract<DatasetPair['plan'], { use: true }>): string {
  const hows = [plan.reference.how, plan.target.how]
  return hows.includes('stretch') ? 'stretched' : hows.includes('trim') ? 'trimmed' : 'as it is'
}

function soundSection({ pairs }: Dataset, sounds: PairSounds): Markup | undefined {
  const shown = pairs.flatMap((pair) => {
    const heard = sounds.get(pair.name)
    return heard ? [{ pair, ...heard }] : []
  })
  if (shown.length === 0) return undefined
  const some = shown.length < pairs.length
  return section(
    'Listen',
    some ? html`<p class="faint">${shown.length} of ${pairs.length} pairs, those with findings first.</p>` : undefined,
    html`${shown.map(
      ({ pair, reference, target }) =>
        html`<h3>${pair.name}</h3><div class="pair">${player('reference', reference, pair.reference.path)}${player('target', target, pair.target.path)}</div>`,
    )}`,
  )
}

/** Writing a dataset down as a page: the pairs worth hearing are decoded once more, and made small. */

/** The page is for judging, not for archiving. */
const longestSeconds = 15
const kilobitsPerSecond = 64

export async function writeDatasetPage(
  path: string,
  dataset: Dataset,
  source: Source,
  options: RunOptions<ProgressEvent> = {},
) {
  const reporter = createReporter<ProgressEvent>(options)
  const pairs = pairsToHear(dataset)
  const stage = reporter.stage('Page', pairs.length, 'pairs')
  const sounds = new Map<string, { reference: PageSound; target: PageSound }>()
  for (const { name, reference, target } of pairs) {
    sounds.set(name, { reference: await soundOf(source, reference), target: await soundOf(source, target) })
    stage.update(sounds.size)
  }
  replaceFile(path, [datasetPage(dataset, sounds satisfies PairSounds)])
  stage.finish(path)
}

async function soundOf(source: Source, { path }: DatasetSide): Promise<PageSound> {
  const decoded = await source.withFile(path, (file) => decodeAudio(file, { name: path, maxSeconds: longestSeconds }))
  const waveform = toStereo(decoded)
  return pageSound(waveform, await compressAudio(waveform, kilobitsPerSecond))
}
