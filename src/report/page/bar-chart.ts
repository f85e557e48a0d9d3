import { html, type Markup } from './html.ts'

export type Bar = { label: string; value: number; chosen?: boolean }

/** Horizontal bars with their numbers. */
export function barChart(bars: readonly Bar[]): Markup {
  const most = Math.max(1, ...bars.map(({ value }) => value))
  return html`<div class="bars">${bars.map(
    ({ label, value, chosen = false }) =>
      html`<span${chosen && html` class="chosen"`}>${label}</span><div><div style="height:100%;width:${((100 * value) / most).toFixed(1)}%"></div></div><span${chosen && html` class="chosen"`}>${value}</span>`,
  )}</div>`
}
