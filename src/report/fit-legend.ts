/** What the numbers about the fit of pairs mean, for the page of a run and that of a dataset. */
import { stretchLimit } from '../dataset/fit-plan.ts'
import { html } from './page/page.ts'

const percent = Math.round(100 * (stretchLimit - 1))

export const fitLegend = html`<p class="faint">All clips get the same length. Stretched: slightly longer recordings, by up to ${percent} %, were sped up to that length without changing their pitch. Trimmed: of longer ones the beginning is used. Skipped: pairs with a recording that is shorter or cannot be read. The others already had the length.</p>`
