/** The page of a dataset: problems, advice, a table of all pairs, and pictures and players of some of them. */
import { compressAudio } from '../audio/compress.ts'
import { decodeAudio } from '../audio/decode.ts'
import { toStereo } from '../audio/waveform.ts'
import { consistencyText, lengthAdvice } from '../dataset/advice.ts'
import type { Dataset } from '../dataset/dataset.ts'
import { isUnrelated, lagText, tolerableLagSeconds } from '../dataset/findings.ts'
import { sampleBuckets } from '../dataset/fit-plan.ts'
import type { DatasetPair, DatasetSide } from '../dataset/pair-inspection.ts'
import type { Finding } from '../dataset/problem.ts'
import { isAudible } from '../dataset/silence.ts'
import type { Source } from '../dataset/source.ts'
import { Interrupted } from '../platform/errors.ts'
import type { OutputFile } from '../platform/output-file.ts'
import { createReporter, type ProgressEvent, type RunOptions } from '../platform/progress.ts'
import { countText, decimalText } from '../platform/text.ts'
import { fitLegend, longerPairs } from './fit-legend.ts'
import { barChart } from './page/charts.ts'
import { definitionList, html, type Markup, page, section } from './page/page.ts'
import { type PageSound, pageSound, player } from './page/player.ts'

/** Both sides of pairs, by the name of the pair. */
export type PairSounds = ReadonlyMap<string, { reference: SideSound; target: SideSound }>

/** A message where the recording cannot be played. */
export type SideSound = PageSound | string

/** More players would make the page too large to send by mail. */
export const maxPlayers = 24

const maxClipLengths = 12

/** At most `maxPlayers` pairs: all with findings about their sound, then others, in the order of the dataset. */
export function pairsWithPlayers({ pairs, advice }: Dataset): DatasetPair[] {
  const flagged = new Set(
    advice?.findings.filter(isAboutSound).flatMap((finding) => finding.pairs.map(({ name }) => name)),
  )
  const readable = pairs.filter(({ reference, target }) => reference.audio && target.audio)
  const first = readable.filter(({ name }) => flagged.has(name))
  const others = readable.filter(({ name }) => !flagged.has(name))
  const chosen = new Set([...first, ...others].slice(0, maxPlayers))
  return readable.filter((pair) => chosen.has(pair))
}

const isAboutSound = ({ kind, pairs }: Finding) =>
  !/caption|trigger|short|unused/.test(kind) && pairs.length < maxPlayers

/** In every page of a dataset. */
export const datasetPageGenerator = 'ltx-a2a inspect-dataset'

export function datasetPage(dataset: Dataset, sounds: PairSounds): string {
  const { name, location, counts, options } = dataset
  return page({
    generator: datasetPageGenerator,
    title: `Dataset ${name}`,
    lead: html`${counts.used} of ${countText(counts.pairs, 'pair')} used with clips of ${options.seconds} s · <span class="faint">${location}</span>`,
    sections: [...datasetSections(dataset), soundSection(dataset, sounds)],
  })
}

/** What is wrong with a dataset, what could be better, and what a training would use. */
export const datasetSections = (dataset: Dataset): (Markup | undefined)[] => [
  problemSection(dataset),
  dataset.advice && adviceSection(dataset.advice.findings),
  dataset.advice && lengthSection(dataset.advice, dataset.options),
  settingsSection(dataset),
  pairSection(dataset),
]

function problemSection({ problems }: Dataset): Markup | undefined {
  if (problems.length === 0) return undefined
  const colors = { error: 'bad', warning: 'fair', hint: 'faint' }
  return section(
    'Problems',
    problems.some(({ severity }) => severity === 'error')
      ? html`<p>Errors must be corrected before a training starts; warnings and hints need not be.</p>`
      : undefined,
    html`<ul>${problems.map(
      ({ severity, message, hint }) =>
        html`<li><b class="${colors[severity]}">${severity}</b> ${message}${hint !== undefined && html`<br><small>${hint}</small>`}</li>`,
    )}</ul>`,
  )
}

const maxNames = 12

function adviceSection(findings: readonly Finding[]): Markup {
  if (findings.length === 0) return section('What to fix first', html`<p class="good">Nothing was found.</p>`)
  return section(
    'What to fix first',
    html`<ol>${findings.map(
      ({ severity, what, pairs, hint }) =>
        html`<li><b${severity === 'warning' && html` class="fair"`}>${what}</b> <span class="faint">${countText(pairs.length, 'pair')}</span>: ${nameList(pairs)}<br><small>${hint}</small></li>`,
    )}</ol>`,
    html`<p class="faint">The value after a name is what was measured. ms: how much later (+) or earlier (−) the target begins than its reference. Places: how often the sound is cut off at full scale. dB: how different reference and target sound. What the numbers of all pairs mean is below their table.</p>`,
  )
}

const nameList = (pairs: Finding['pairs']): string => {
  const names = pairs.slice(0, maxNames).map(({ name, detail }) => (detail ? `${name} ${detail}` : name))
  return [...names, ...(pairs.length > maxNames ? [`${pairs.length - maxNames} more`] : [])].join(', ')
}

function lengthSection(
  { buckets, recommendedSeconds, agreement }: NonNullable<Dataset['advice']>,
  options: Dataset['options'],
) {
  const bars = sampleBuckets(buckets, maxClipLengths).map((bucket) => ({
    label: `${bucket.seconds.toFixed(1)} s`,
    value: bucket.pairs,
    chosen: bucket.seconds === recommendedSeconds,
  }))
  return section(
    'Pairs that each clip length keeps',
    bars.length > 0
      ? html`${barChart(bars, 'pair')}<p class="faint">A pair is used when both of its recordings have at least the length of a clip. The recommended length is bold.</p>`
      : undefined,
    html`<p>${lengthAdvice(recommendedSeconds, options)}</p>`,
    agreement === null
      ? undefined
      : html`<p>${consistencyText(agreement)}</p><p class="faint">For each pair, two things are measured in 16 frequency bands: how much louder or softer the target is than its reference, and how much more or less its level varies. 100 % would be exactly the same change in all pairs, as from one effect with fixed settings; below 30 % they hardly have a change in common, and one LoRA cannot learn it.</p>`,
  )
}

function settingsSection({ options, counts }: Dataset): Markup {
  return section(
    'What a training would use',
    definitionList([
      ['clip length', `${options.seconds} s`],
      ['trigger phrase', options.triggerPhrase || '–'],
      ['pairs used', counts.used],
      ['pairs skipped', counts.skipped],
      ['pairs stretched', counts.stretched],
      [longerPairs[options.windows], counts.trimmed],
      ['clips', counts.clips],
      ['clips with --windows all', counts.allClips],
    ]),
    fitLegend(options.windows),
  )
}

function pairSection({ pairs }: Dataset): Markup | undefined {
  if (pairs.length === 0) return undefined
  return section(
    'Pairs',
    html`<div class="scroll"><table class="stacks"><thead><tr><th>pair</th>${pairColumns.map((title) => html`<th class="number">${title}</th>`)}<th>outcome</th><th>caption</th></tr></thead>
<tbody>${pairs.map(pairRow)}</tbody></table></div>`,
    html`<p class="faint">Where there are two values, the first is that of the reference and the second that of the target; – is a value that could not be measured. Seconds: the length of the recording. kHz: its sample rate; the model works with 16 kHz. Loudness: of the whole file, in LUFS, which are decibels below the loudest possible; −23 is usual in broadcasting, −14 in streaming. Peak: the loudest sample of the part that is used, in decibels; 0 is the maximum. Lag: how much later the target is than the reference, in thousandths of a second; a lag of ${1000 * tolerableLagSeconds} ms or more harms the training. Difference: the mean difference of the spectrograms of reference and target, whatever their loudness; 1 is hardly audible, 6 is like an old radio, 15 is a different sound.</p>`,
  )
}

const pairColumns = ['seconds', 'kHz', 'loudness in LUFS', 'peak in dBFS', 'lag', 'difference in dB'] as const

function pairRow(pair: DatasetPair): Markup {
  const { name, sound, plan, clips, caption } = pair
  const lagSeconds = isAudible(pair) ? (sound?.lagSeconds ?? null) : null
  const isLate = Math.abs(lagSeconds ?? 0) >= tolerableLagSeconds
  const lag = isUnrelated(pair) ? 'unrelated' : lagSeconds === null ? '–' : lagText(lagSeconds)
  const outcome = plan.use
    ? clips.used > 1
      ? countText(clips.used, 'clip')
      : outcomeText(plan)
    : `skipped: ${plan.reason}`
  const number = (label: (typeof pairColumns)[number], text: string, isFlagged = false) =>
    html`<td class="number${isFlagged && html` fair`}" data-label="${label}">${text}</td>`
  return html`<tr><td>${name}</td>${number(
    'seconds',
    bothSides(pair, ({ seconds }) => seconds.toFixed(2)),
  )}${number(
    'kHz',
    bothSides(pair, ({ sampleRate }) => `${sampleRate / 1000}`),
  )}${number(
    'loudness in LUFS',
    bothSides(pair, ({ sound }) => levelText(sound?.loudness)),
  )}${number(
    'peak in dBFS',
    bothSides(pair, ({ peakDbfs }) => levelText(peakDbfs)),
  )}${number(
    'lag',
    lag,
    isLate || isUnrelated(pair),
  )}${number('difference in dB', levelText(sound?.distance))}<td${!plan.use && html` class="fair"`} data-label="outcome">${outcome}</td><td${caption && html` data-label="caption"`}>${caption}</td></tr>\n`
}

type Audio = NonNullable<DatasetSide['audio']>

function bothSides({ reference, target }: DatasetPair, text: (audio: Audio) => string): string {
  const [first, second] = [reference, target].map(({ audio }) => (audio ? text(audio) : '–'))
  return first === second ? `${first}` : `${first} → ${second}`
}

/** Also for values that damaged samples made unmeasurable. */
const levelText = (value: number | null | undefined) =>
  typeof value === 'number' && Number.isFinite(value) ? decimalText(value, 1) : '–'

function outcomeText(plan: Extract<DatasetPair['plan'], { use: true }>): string {
  const fits = [plan.reference.how, plan.target.how]
  return fits.includes('stretch') ? 'stretched' : fits.includes('trim') ? 'trimmed' : 'unchanged'
}

function soundSection({ pairs }: Dataset, sounds: PairSounds): Markup | undefined {
  const withSounds = pairs.flatMap((pair) => {
    const sound = sounds.get(pair.name)
    return sound ? [{ pair, ...sound }] : []
  })
  if (withSounds.length === 0) return undefined
  return section(
    'Listen',
    withSounds.length < pairs.length
      ? html`<p class="faint">${withSounds.length} of ${pairs.length} pairs: those with findings, then the first others.</p>`
      : undefined,
    html`${withSounds.map(
      ({ pair, reference, target }) =>
        html`<h3>${pair.name}</h3><div class="pair">${sidePlayer('reference', reference, pair.reference.path)}${sidePlayer('target', target, pair.target.path)}</div>`,
    )}`,
  )
}

const sidePlayer = (title: string, sound: SideSound, path: string): Markup =>
  typeof sound === 'string'
    ? html`<figure><figcaption><strong>${title}</strong></figcaption><p class="fair">It cannot be played: ${sound}</p></figure>`
    : player(title, sound, path)

/** The length of the excerpts that players have. */
const excerptSeconds = 15
const kilobitsPerSecond = 64

/**
 * Writes the page. It decodes the beginning of the pairs that get players; one that cannot be decoded has a message in place of its player.
 * @throws UserError when the page cannot be written, Interrupted when the signal was aborted.
 */
export async function writeDatasetPage(
  file: OutputFile,
  dataset: Dataset,
  source: Source,
  options: RunOptions<ProgressEvent> = {},
) {
  const reporter = createReporter<ProgressEvent>(options)
  const pairs = pairsWithPlayers(dataset)
  const stage = reporter.stage('Page', pairs.length, 'pairs')
  const sounds = new Map<string, { reference: SideSound; target: SideSound }>()
  for (const { name, reference, target } of pairs) {
    sounds.set(name, { reference: await excerptOf(source, reference), target: await excerptOf(source, target) })
    stage.update(sounds.size)
    reporter.throwIfAborted()
  }
  await file.write([datasetPage(dataset, sounds satisfies PairSounds)], options.signal)
  stage.finish(file.path)
  await reporter.settled()
}

/** The beginning of a recording, or why it cannot be played. */
async function excerptOf(source: Source, { path }: DatasetSide): Promise<SideSound> {
  try {
    const decode = (file: string) =>
      decodeAudio(file, { name: path, maxSeconds: excerptSeconds, limits: source.limits })
    const waveform = toStereo(await source.withFile(path, decode))
    return pageSound(waveform, await compressAudio(waveform, kilobitsPerSecond, { limits: source.limits }))
  } catch (error) {
    if (error instanceof Interrupted) throw error
    return (error as Error).message
  }
}
