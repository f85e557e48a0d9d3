/** The page of a run: previews at each checkpoint with their verdicts, loss, reconstructions, settings, data and files. */
import type { BestCheckpoint, Verdict, VerdictWord } from '../audio/analysis/verdict.ts'
import type { Dataset } from '../dataset/dataset.ts'
import { lagText } from '../dataset/findings.ts'
import { locationNames, withoutFolders } from '../platform/client-text.ts'
import { sum } from '../platform/statistics.ts'
import { countText, durationText, sizeText } from '../platform/text.ts'
import { type BestLora, describeBest, type EvaluatedStep, nameOfBest } from '../train/evaluation.ts'
import type { LearningVerdict } from '../train/learning.ts'
import { fitLegend, longerPairs } from './fit-legend.ts'
import { evaluationChart, lossCharts, type StepMetrics } from './loss-curves.ts'
import type { ChartMark } from './page/charts.ts'
import { definitionList, html, type Markup, page, section } from './page/page.ts'
import { type PageSound, player } from './page/player.ts'

export type RunReport = {
  name: string
  state: 'running' | 'finished' | 'stopped'
  step: number
  steps: number
  /** When the page was written. */
  written: string
  /** Names and values, in the order to show them. */
  settings: readonly (readonly [name: string, value: string])[]
  metrics: readonly StepMetrics[]
  validation: readonly ReportedClip[]
  /** The checkpoint to use: with held-out pairs `best.safetensors`, otherwise the one with the best previews, where there is a choice. */
  best?: BestCheckpoint | undefined
  /** Without held-out pairs: at how many steps there are both previews and a saved LoRA. */
  choices: number
  /** With held-out pairs: their names, what the losses say, and `best.safetensors`. */
  heldOut?: HeldOutReport | undefined
  reconstructions: readonly Reconstruction[]
  dataset: Dataset
  files: readonly { name: string; bytes: number }[]
}

export type HeldOutReport = {
  names: readonly string[]
  /** The dataset that they are from, where it is another one than that of the run. */
  location?: string | undefined
  verdict: LearningVerdict
  best?: BestLora | undefined
  evaluations: readonly EvaluatedStep[]
}

export type ReportedClip = {
  prompt: string
  /** The name of the held-out pair that it is. */
  heldOut?: string | undefined
  reference: PageSound
  target?: PageSound | undefined
  /** Step 0 is the base without training. */
  previews: readonly { step: number; sound: PageSound; verdict: Verdict }[]
  /** With `best.safetensors`, where it is not the LoRA of the last step. */
  best?: { sound: PageSound; verdict: Verdict }
}

export type Reconstruction = { name: string; original: PageSound; reconstructed: PageSound; distance: number | null }

export function runPage(run: RunReport): string {
  return page({
    generator: 'ltx-a2a train',
    title: run.name,
    lead: lead(run),
    sections: [
      learningSection(run),
      bestSection(run),
      ...run.validation.map((clip, i) => clipSection(clip, i + 1, run)),
      section('Progress', lossCharts(run.metrics, run.step)),
      reconstructionSection(run.reconstructions),
      section('Settings', definitionList(run.settings), settingsLegend),
      dataSection(run.dataset, run.heldOut),
      section('Files', definitionList(run.files.map(({ name, bytes }) => [name, sizeText(bytes)] as const))),
    ],
  })
}

function lead({ state, step, steps, metrics, written }: RunReport): Markup {
  const seconds = sum(metrics.map(({ seconds = 0 }) => seconds))
  const progress = {
    running: `step ${step} of ${steps}`,
    finished: step < steps ? `ended early after step ${step} of ${steps}` : countText(steps, 'step'),
    stopped: `stopped after step ${step} of ${steps}`,
  }[state]
  const isEstimable = state === 'running' && step > 0 && seconds > 0
  const left = isEstimable ? `, about ${durationText((seconds / step) * (steps - step))} left` : ''
  return html`<b class="${state === 'finished' ? 'good' : 'fair'}">${state}</b> · ${progress}, ${durationText(seconds)} in training steps${left} · <span class="faint">written ${written}${state === 'running' && '; reload the page to update it'}</span>`
}

const verdictColor: Record<LearningVerdict['word'], string> = {
  unknown: 'faint',
  noisy: 'fair',
  unstable: 'bad',
  overfitting: 'bad',
  'too-weak': 'fair',
  learning: 'fair',
  converged: 'good',
}

/** What the held-out loss says, in words and as the first chart of the page. */
function learningSection({ heldOut, metrics, state, step }: RunReport): Markup | undefined {
  if (!heldOut) return undefined
  const { verdict, best, evaluations, names } = heldOut
  const [word = '', ...rest] = verdict.sentence.split(':')
  return section(
    state === 'running' ? 'What it has learned so far' : 'What it has learned',
    html`<p><b class="${verdictColor[verdict.word]}">${word}</b>:${rest.join(':')}</p>`,
    best &&
      html`<p>${state === 'finished' ? 'The LoRA to use' : 'The best LoRA so far'}: <b>best.safetensors</b>, ${describeBest(best, evaluations)}.</p>`,
    html`<div class="charts">${evaluationChart(metrics, step, evaluationMarks(heldOut))}</div>`,
    html`<p class="faint">Held out: ${names.join(', ')}.</p>`,
  )
}

/** The steps that the sentences above the chart name. */
const evaluationMarks = ({ verdict: { since, word }, best }: HeldOutReport): ChartMark[] => {
  const marks = best ? [{ x: best.step, text: `best: step ${best.step}` }] : []
  return since === undefined || since === best?.step
    ? marks
    : [...marks, { x: since, text: `${word} since step ${since}` }]
}

/** The choice by previews: held-out pairs make a better one. */
function bestSection({ best, choices, heldOut, validation }: RunReport): Markup | undefined {
  if (heldOut) return undefined
  if (!best) {
    const steps = new Set(validation.flatMap(({ previews }) => previews.map(({ step }) => step)).filter(Boolean))
    if (steps.size <= choices) return undefined // all of them, at most one, are saved
    return section(
      'Best checkpoint',
      html`<p>Not chosen: ${choices === 0 ? 'no step has' : 'only one step has'} both previews and a saved LoRA. Choose a preview interval and a checkpoint interval that coincide.</p>`,
    )
  }
  return section(
    'Best checkpoint',
    html`<p><b>step ${best.step}</b>: ${best.reason}${best.lora !== undefined && html` · <b>${best.lora}</b>`}</p>`,
    html`<p class="faint">Among the steps with previews and a saved LoRA: the one with the most transformed previews, then with the previews closest to their targets where these are known, then with the lowest fixed loss. It compares few sounds: listen before you decide.</p>`,
  )
}

const verdictClass: Record<VerdictWord, string> = {
  ignored: 'bad',
  copied: 'fair',
  unchanged: 'fair',
  'off-target': 'fair',
  transformed: 'good',
}

const verdictMeaning: Record<VerdictWord, string> = {
  ignored: 'the preview does not follow the reference in time',
  copied: 'the preview sounds like the reference itself',
  unchanged: 'the preview sounds like that of the base, without the LoRA',
  'off-target':
    'the preview follows the reference in time and sounds different from it, but is no closer to the target than that of the base',
  transformed: 'the preview follows the reference in time and sounds different from it',
}

/** What the verdict on a preview says, and what it could be compared with. */
function verdictSentence({ step, verdict: { word, toBase, toTarget } }: ReportedClip['previews'][number]): Markup {
  if (word === null) return html`. There is no verdict before training: this is the base.`
  const compared = [
    ...(toBase === undefined ? [] : ['the base']),
    ...(toTarget === undefined ? [] : ['the target']),
  ].join(' and ')
  return html`. At step ${step} the verdict is <b class="${verdictClass[word]}">${word}</b>: ${verdictMeaning[word]}. ${compared === '' ? 'There is no preview of the base to compare with, so it is unknown what the LoRA changed.' : `It was compared with ${compared}.`}`
}

function clipSection(
  { prompt, heldOut, reference, target, previews, best: withBest }: ReportedClip,
  number: number,
  { best, heldOut: split }: Pick<RunReport, 'best' | 'heldOut'>,
): Markup {
  const newestFirst = [...previews].sort((a, b) => b.step - a.step)
  const selected = selectPreviews(newestFirst, best)
  const starred = withBest || split?.best?.isAverage ? undefined : best?.step
  const latest = newestFirst[0]
  return section(
    `Preview ${number}${heldOut === undefined ? '' : `: held-out pair ${heldOut}`}`,
    html`<p>Prompt: ${prompt === '' ? html`<span class="faint">none</span>` : html`<b>${prompt}</b>`}${latest && verdictSentence(latest)}</p>`,
    number === 1 && previews.length > 0 ? verdictLegend : undefined,
    selected.length < previews.length
      ? html`<p class="faint">${selected.length} of ${previews.length} previews; the others are in the folder previews.</p>`
      : undefined,
    html`<div class="cards">${player('reference', reference)}${target && player('target', target, 'what the reference should become')}${
      withBest &&
      split?.best &&
      player(html`best.safetensors: ${nameOfBest(split.best)} ${star}`, withBest.sound, verdictNote(withBest.verdict))
    }${selected.map(({ step, sound, verdict }) =>
      player(
        html`${step === 0 ? 'step 0: the base, before training' : `step ${step}`}${step === starred && html` ${star}`}`,
        sound,
        verdictNote(verdict),
      ),
    )}</div>`,
  )
}

const star = html`<span class="good">★ best</span>`

/** What the words and numbers below the previews mean; shown once, with the first. */
const verdictLegend = html`<details><summary>What the words and numbers mean</summary>
<p class="faint">The verdict compares a preview with its reference, with what the base makes of the reference without the LoRA (step 0), and with the target where it is known. The same noise is used at all steps.</p>
<ul class="faint">${Object.entries(verdictMeaning).map(([word, meaning]) => html`<li><b>${word}</b>: ${meaning}.</li>`)}
<li><b>envelopes</b>: how closely the loudness in each frequency band follows that of the reference over time, from about 0 for unrelated sounds to 1 for the same.</li>
<li><b>onsets</b>: how well the moments at which sounds begin coincide with those of the reference, from 0 to 1. A preview follows its reference where either number is high enough: the envelopes from 0.5 on, or the onsets from 0.45 on.</li>
<li><b>lag</b>: how much later than the reference the preview is, in thousandths of a second.</li>
<li><b>dB from the reference, the target, the base</b>: how different two sounds are, as the mean difference of their spectrograms in decibels, whatever their loudness: 0 is the same sound, 1 is hardly audible, 6 is like an old radio, 15 is a different sound. A good LoRA comes closer to the target from step to step.</li></ul></details>`

/** More previews would make the page too large to send by mail. */
const maxPreviews = 12

/** All previews, or the first, the last, the best and some evenly spaced ones. */
export function selectPreviews<Preview extends { step: number }>(
  previews: readonly Preview[],
  best: BestCheckpoint | undefined,
): Preview[] {
  if (previews.length <= maxPreviews) return [...previews]
  const evenlySpaced = Array.from({ length: maxPreviews - 1 }, (_, i) =>
    Math.round((i * (previews.length - 1)) / (maxPreviews - 2)),
  )
  return previews.filter(({ step }, i) => evenlySpaced.includes(i) || step === best?.step)
}

function verdictNote({ word, follows, timing, lagSeconds, toReference, toTarget, toBase }: Verdict): Markup {
  const distance = (name: string, value: number | null | undefined) =>
    value === undefined ? [] : [`${decibelText(value)} from ${name}`]
  const numbers = [
    `envelopes ${follows.toFixed(2)}, onsets ${timing.toFixed(2)}`,
    ...(word === 'ignored' ? [] : [`lag ${lagText(lagSeconds)}`]),
    ...distance('the reference', toReference),
    ...distance('the target', toTarget),
    ...distance('the base', toBase),
  ]
  return word === null
    ? html`${numbers.join(' · ')}`
    : html`<b class="${verdictClass[word]}">${word}</b> · ${numbers.join(' · ')}`
}

/** `null` is the distance of a silent sound, which cannot be measured. */
const decibelText = (value: number | null) => (value === null ? '–' : `${value.toFixed(1)} dB`)

function reconstructionSection(reconstructions: readonly Reconstruction[]): Markup | undefined {
  if (reconstructions.length === 0) return undefined
  return section(
    'What the autoencoder preserves',
    html`<p class="faint">Targets of the dataset, encoded by the autoencoder, decoded and rendered again. No preview can sound better than these. The distance is the mean difference of the spectrograms in decibels: 0 is a perfect reconstruction, 1 hardly audible, 6 like an old radio.</p>`,
    html`${reconstructions.map(
      ({ name, original, reconstructed, distance }) =>
        html`<h3>${name}</h3><div class="pair">${player('original', original)}${player('reconstructed', reconstructed, `distance ${decibelText(distance)}`)}</div>`,
    )}`,
  )
}

const settingsLegend = html`<p class="faint">Fingerprint: identifies the weights of the base; a LoRA fits only the base with its own. Rank: the size of the LoRA. Alpha: its strength is alpha divided by rank. Adapted layers: how many kinds of layers of the model have a LoRA. Pairs per step: how many pairs one step averages over (gradient accumulation). Windows: what is used of pairs that are longer than a clip. Evaluation interval: how often the losses over the same pairs are measured. Patience: after so many evaluations without a lower held-out loss, training ends. Seed: the same seed gives the same run. Previews: the number of sampling steps; cfg, the scale of classifier-free guidance, where 1 is none; stg, the scale of spatio-temporal guidance, where 0 is none.</p>`

/** A page is passed on: it names files, not the folders of this machine. */
export const shownLocation = (location: string) => locationNames(location).join(', ') || location

const heldOutText = ({ names, location }: HeldOutReport) =>
  location === undefined ? names.length : `${names.length} of ${shownLocation(location)}`

function dataSection(
  { location, counts, options, pairs, problems }: Dataset,
  heldOut: HeldOutReport | undefined,
): Markup {
  const heldOutHere = heldOut && heldOut.location === undefined ? heldOut.names.length : 0
  const skipped = pairs.flatMap(({ name, plan }) => (plan.use ? [] : [{ name, reason: plan.reason }]))
  return section(
    'Data',
    definitionList([
      ['dataset', shownLocation(location)],
      ['pairs used', `${counts.used - heldOutHere} of ${counts.pairs}`],
      ...(heldOut ? [['pairs held out', heldOutText(heldOut)] as const] : []),
      ['clip length', `${options.seconds} s`],
      ['pairs stretched', counts.stretched],
      [longerPairs[options.windows], counts.trimmed],
      ...(options.windows === 'all' ? [['clips', counts.clips] as const] : []),
    ]),
    fitLegend(options.windows),
    skipped.length > 0
      ? html`<h3>Skipped pairs</h3><ul>${skipped.map(({ name, reason }) => html`<li>${name}: ${reason}</li>`)}</ul>`
      : undefined,
    problems.length > 0
      ? html`<h3>Problems</h3><ul>${problems.map(({ severity, message }) => html`<li><span class="fair">${severity}</span> ${withoutFolders(message)}</li>`)}</ul>`
      : undefined,
  )
}
