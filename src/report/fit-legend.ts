/** What the numbers about the fit of pairs mean, for the page of a run and that of a dataset. */
import { stretchLimit, type WindowChoice } from '../dataset/fit-plan.ts'
import { html } from './page/page.ts'

const percent = Math.round(100 * (stretchLimit - 1))

/** What the pairs are called that are longer than a clip and give one at a time. */
export const longerPairs: Record<WindowChoice, string> = {
  first: 'pairs trimmed',
  all: 'pairs trimmed',
  random: 'pairs longer than a clip',
}

const longer: Record<WindowChoice, string> = {
  first: 'Trimmed: of longer ones the beginning is used.',
  all: 'Of longer ones all whole clips are used, one after the other. Trimmed: those of which only one fits.',
  random: 'Of longer ones each step uses a clip from a random place.',
}

export const fitLegend = (windows: WindowChoice) =>
  html`<p class="faint">All clips get the same length. Stretched: slightly longer recordings, by up to ${percent} %, were sped up to that length without changing their pitch. ${longer[windows]} Skipped: pairs with a recording that is shorter or cannot be read. The others already had the length.</p>`
