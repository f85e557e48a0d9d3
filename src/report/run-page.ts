/** The page of a run: its loss, its previews at each checkpoint with a verdict on each, reconstructions, settings, data and files. */
import type { BestCheckpoint, Verdict, VerdictWord } from '../audio/analysis/verdict.ts'
import type { Dataset } from '../dataset/dataset.ts'
import { lagText } from '../dataset/sound-findings.ts'
import { sum } from '../platform/statistics.ts'
import { durationText, sizeText } from '../platform/text.ts'
import type { StepMetrics } from './loss-curves.ts'
import { lossCharts } from './loss-curves.ts'
import { facts, html, type Markup, page, section } from './page/page.ts'
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
    title: run.name,
    lead: lead(run),
    sections: [
      run.best && bestSection(run.best),
      ...run.validation.map((clip, i) => clipSection(clip, i + 1, run.best)),
      section('Progress', lossCharts(run.metrics)),
      reconstructionSection(run.reconstructions),
      section('Settings', facts(run.settings)),
      dataSection(run.dataset),
      section('Files', facts(run.files.map(({ name, bytes }) => [name, sizeText(bytes)] as const))),
    ],
  })
}

function lead({ state, step, steps, metrics, written }: RunReport): Markup {
  const seconds = sum(metrics.map(({ seconds = 0 }) => seconds))
  const what = {
    running: `step ${step} of ${steps}`,
    finished: `${steps} steps`,
    stopped: `stopped after step ${step} of ${steps}`,
  }[state]
  const left = state === 'running' && step > 0 ? `, about ${durationText((seconds / step) * (steps - step))} left` : ''
  return html`<b class="${state === 'finished' ? 'good' : 'fair'}">${state}</b> · ${what}, ${durationText(seconds)} of training${left} · <span class="faint">written ${written}${state === 'running' && '; reload the page to update it'}</span>`
}

const bestSection = ({ step, reason }: BestCheckpoint): Markup =>
  section('Best checkpoint', html`<p><b>step ${step}</b>: ${reason}</p>`)

const looks: Record<VerdictWord, string> = { ignored: 'bad', copied: 'fair', transformed: 'good' }

const meaning: Record<VerdictWord, string> = {
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
  const shown = shownOf(newestFirst, best)
  const latest = newestFirst[0]
  return section(
    `Preview ${number}`,
    html`<p>Prompt: ${prompt === '' ? html`<span class="faint">none</span>` : html`<b>${prompt}</b>`}${
      latest &&
      html`. At step ${latest.step} the verdict is <b class="${looks[latest.verdict.word]}">${latest.verdict.word}</b>: ${meaning[latest.verdict.word]}.`
    }</p>`,
    previews.length > 0 ? verdictLegend : undefined,
    shown.length < previews.length
      ? html`<p class="faint">${shown.length} of ${previews.length} previews; the others are in the folder previews.</p>`
      : undefined,
    html`<div class="cards">${player('reference', reference)}${target && player('target', target, 'what the reference should become')}${shown.map(
      ({ step, sound, verdict }) =>
        player(
          html`${step === 0 ? 'step 0, the base' : `step ${step}`}${step === best?.step && html` <span class="good">★ best</span>`}`,
          sound,
          verdictNote(verdict),
        ),
    )}</div>`,
  )
}

/** What the numbers below a preview mean. */
const verdictLegend = html`<p class="faint">Envelopes: how closely the loudness of each frequency band follows that of the reference over time, from 0 for unrelated sounds to 1. Onsets: the same for the moments at which sounds begin. Distances are mean differences of log-mel spectrograms in decibels: 1 is hardly audible, 6 is a radio, 15 is another sound.</p>`

/** More previews would make the page too large to send by mail. */
const mostPreviews = 12

/** All previews, or the first, the last, the best and some evenly spaced ones. */
export function shownOf<Preview extends { step: number }>(
  previews: readonly Preview[],
  best: BestCheckpoint | undefined,
): Preview[] {
  if (previews.length <= mostPreviews) return [...previews]
  const even = Array.from({ length: mostPreviews - 1 }, (_, i) =>
    Math.round((i * (previews.length - 1)) / (mostPreviews - 2)),
  )
  return previews.filter(({ step }, i) => even.includes(i) || step === best?.step)
}

function verdictNote({ word, follows, timing, lagSeconds, toReference, toTarget, toBase }: Verdict): Markup {
  const distance = (name: string, value: number | null | undefined) =>
    value == null ? [] : [`${value.toFixed(1)} dB from ${name}`]
  const numbers = [
    `envelopes ${follows.toFixed(2)}, onsets ${timing.toFixed(2)}`,
    ...(word === 'ignored' ? [] : [`lag ${lagText(lagSeconds)}`]),
    ...distance('the reference', toReference),
    ...distance('the target', toTarget),
    ...distance('the base', toBase),
  ]
  return html`<b class="${looks[word]}">${word}</b> · ${numbers.join(' · ')}`
}

function reconstructionSection(reconstructions: readonly Reconstruction[]): Markup | undefined {
  if (reconstructions.length === 0) return undefined
  return section(
    'What the autoencoder preserves',
    html`<p class="faint">Targets of the dataset, encoded by the autoencoder and decoded again, with the vocoder. No preview can sound better than these. The distance is the mean difference of the log-mel spectrograms.</p>`,
    html`${reconstructions.map(
      ({ name, original, reconstructed, distance }) =>
        html`<h3>${name}</h3><div class="pair">${player('original', original)}${player('reconstructed', reconstructed, distance === null ? undefined : `distance ${distance.toFixed(1)} dB`)}</div>`,
    )}`,
  )
}

function dataSection({ location, counts, options, pairs, problems }: Dataset): Markup {
  const skipped = pairs.flatMap(({ name, plan }) => (plan.use ? [] : [{ name, reason: plan.reason }]))
  return section(
    'Data',
    facts([
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
