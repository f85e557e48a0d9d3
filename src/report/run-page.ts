/** The page of a run: previews at each checkpoint with their verdicts, loss, reconstructions, settings, data and files. */
import type { BestCheckpoint, Verdict, VerdictWord } from '../audio/analysis/verdict.ts'
import type { Dataset } from '../dataset/dataset.ts'
import { lagText } from '../dataset/findings.ts'
import { sum } from '../platform/statistics.ts'
import { countText, durationText, sizeText } from '../platform/text.ts'
import { lossCharts, type StepMetrics } from './loss-curves.ts'
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
  best?: BestCheckpoint | undefined
  reconstructions: readonly Reconstruction[]
  dataset: Dataset
  files: readonly { name: string; bytes: number }[]
}

export type ReportedClip = {
  prompt: string
  reference: PageSound
  target?: PageSound | undefined
  /** Step 0 is the base without training. */
  previews: readonly { step: number; sound: PageSound; verdict: Verdict }[]
}

export type Reconstruction = { name: string; original: PageSound; reconstructed: PageSound; distance: number | null }

export function runPage(run: RunReport): string {
  return page({
    generator: 'ltx-a2a train',
    title: run.name,
    lead: lead(run),
    sections: [
      run.best && bestSection(run.best),
      ...run.validation.map((clip, i) => clipSection(clip, i + 1, run.best)),
      section('Progress', lossCharts(run.metrics)),
      reconstructionSection(run.reconstructions),
      section('Settings', definitionList(run.settings)),
      dataSection(run.dataset),
      section('Files', definitionList(run.files.map(({ name, bytes }) => [name, sizeText(bytes)] as const))),
    ],
  })
}

function lead({ state, step, steps, metrics, written }: RunReport): Markup {
  const seconds = sum(metrics.map(({ seconds = 0 }) => seconds))
  const progress = {
    running: `step ${step} of ${steps}`,
    finished: countText(steps, 'step'),
    stopped: `stopped after step ${step} of ${steps}`,
  }[state]
  const isEstimable = state === 'running' && step > 0 && seconds > 0
  const left = isEstimable ? `, about ${durationText((seconds / step) * (steps - step))} left` : ''
  return html`<b class="${state === 'finished' ? 'good' : 'fair'}">${state}</b> · ${progress}, ${durationText(seconds)} of training${left} · <span class="faint">written ${written}${state === 'running' && '; reload the page to update it'}</span>`
}

const bestSection = ({ step, reason }: BestCheckpoint): Markup =>
  section('Best checkpoint', html`<p><b>step ${step}</b>: ${reason}</p>`)

const verdictClass: Record<VerdictWord, string> = { ignored: 'bad', copied: 'fair', transformed: 'good' }

const verdictMeaning: Record<VerdictWord, string> = {
  ignored: 'the preview does not follow the reference in time',
  copied: 'the preview sounds like the reference itself',
  transformed: 'the preview follows the reference in time and sounds different',
}

function clipSection(
  { prompt, reference, target, previews }: ReportedClip,
  number: number,
  best: BestCheckpoint | undefined,
): Markup {
  const newestFirst = [...previews].sort((a, b) => b.step - a.step)
  const selected = selectPreviews(newestFirst, best)
  const latest = newestFirst[0]
  return section(
    `Preview ${number}`,
    html`<p>Prompt: ${prompt === '' ? html`<span class="faint">none</span>` : html`<b>${prompt}</b>`}${
      latest &&
      html`. At step ${latest.step} the verdict is <b class="${verdictClass[latest.verdict.word]}">${latest.verdict.word}</b>: ${verdictMeaning[latest.verdict.word]}.`
    }</p>`,
    number === 1 && previews.length > 0 ? verdictLegend : undefined,
    selected.length < previews.length
      ? html`<p class="faint">${selected.length} of ${previews.length} previews; the others are in the folder previews.</p>`
      : undefined,
    html`<div class="cards">${player('reference', reference)}${target && player('target', target, 'what the reference should become')}${selected.map(
      ({ step, sound, verdict }) =>
        player(
          html`${step === 0 ? 'step 0: the base alone' : `step ${step}`}${step === best?.step && html` <span class="good">★ best</span>`}`,
          sound,
          verdictNote(verdict),
        ),
    )}</div>`,
  )
}

/** What the numbers below the previews mean; shown once, with the first. */
const verdictLegend = html`<p class="faint">Envelopes: how closely the loudness of each frequency band follows that of the reference over time, from about 0 for unrelated sounds to 1 for identical envelopes. Onsets: how well the moments at which sounds begin coincide, from 0 to 1. Lag: how much later than the reference the preview is. Distances are mean differences of the log-mel spectrograms in decibels: 1 is hardly audible, 6 is like an old radio, 15 is a different sound.</p>`

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
  return html`<b class="${verdictClass[word]}">${word}</b> · ${numbers.join(' · ')}`
}

/** `null` is the distance of a silent sound, which cannot be measured. */
const decibelText = (value: number | null) => (value === null ? '–' : `${value.toFixed(1)} dB`)

function reconstructionSection(reconstructions: readonly Reconstruction[]): Markup | undefined {
  if (reconstructions.length === 0) return undefined
  return section(
    'What the autoencoder preserves',
    html`<p class="faint">Targets of the dataset, encoded by the autoencoder and decoded again, with the vocoder. No preview can sound better than these. The distance is the mean difference of the log-mel spectrograms in decibels; 0 would be a perfect reconstruction.</p>`,
    html`${reconstructions.map(
      ({ name, original, reconstructed, distance }) =>
        html`<h3>${name}</h3><div class="pair">${player('original', original)}${player('reconstructed', reconstructed, `distance ${decibelText(distance)}`)}</div>`,
    )}`,
  )
}

function dataSection({ location, counts, options, pairs, problems }: Dataset): Markup {
  const skipped = pairs.flatMap(({ name, plan }) => (plan.use ? [] : [{ name, reason: plan.reason }]))
  return section(
    'Data',
    definitionList([
      ['dataset', location],
      ['pairs used', `${counts.used} of ${counts.pairs}`],
      ['clip length', `${options.seconds} s`],
      ['stretched', counts.stretched],
      ['trimmed', counts.trimmed],
    ]),
    skipped.length > 0
      ? html`<h3>Skipped pairs</h3><ul>${skipped.map(({ name, reason }) => html`<li>${name}: ${reason}</li>`)}</ul>`
      : undefined,
    problems.length > 0
      ? html`<h3>Problems</h3><ul>${problems.map(({ severity, message }) => html`<li><span class="fair">${severity}</span> ${message}</li>`)}</ul>`
      : undefined,
  )
}
