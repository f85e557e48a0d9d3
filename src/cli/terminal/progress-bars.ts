/** Progress bars for a terminal, and progress as text. Stages may be nested; only the bar of the innermost one is on the screen. */

import type { Writable } from 'node:stream'
import cliProgress from 'cli-progress'
import { durationText, roughText } from '../../platform/text.ts'

export type ProgressBars = {
  open(label: string, total: number): { show(progress: Progress): void; close(): void }
  /** Hides the bar while something else is written. */
  writeBetween(write: () => void): void
  closeAll(): void
}

export function createProgressBars(stream: Writable): ProgressBars {
  const bars: Bar[] = []
  const hide = () => bars.at(-1)?.hide()
  const redraw = () => bars.at(-1)?.redraw()
  const remove = (bar: Bar) => {
    if (!bars.includes(bar)) return
    hide()
    bars.splice(bars.indexOf(bar), 1)
    redraw()
  }
  return {
    open: (label, total) => {
      hide()
      const bar = createBar(stream, label, total)
      bars.push(bar)
      redraw()
      return { show: bar.show, close: () => remove(bar) }
    },
    writeBetween: (write) => {
      hide()
      write()
      redraw()
    },
    closeAll: () => {
      hide()
      bars.length = 0
    },
  }
}

type Bar = { show(progress: Progress): void; hide(): void; redraw(): void }

/** @param total 0 where it is unknown: the line then has no bar. */
function createBar(stream: Writable, label: string, total: number): Bar {
  const bar = new cliProgress.SingleBar({
    stream,
    format: (options, { progress }, { text }: { text: string }) =>
      total > 0 ? `${label} ${cliProgress.Format.BarFormat(progress, options)} ${text}` : `${label} ${text}`,
    barCompleteChar: '█',
    barIncompleteChar: '░',
    barsize: 20,
    hideCursor: true,
    clearOnComplete: true,
    gracefulExit: false, // the command handles Ctrl-C
  })
  let [position, text] = [0, '']
  return {
    show: (progress) => {
      ;[position, text] = [progress.position, progressText(progress)]
      bar.update(position, { text }) // does nothing while hidden
    },
    // stopped rather than only cleared: that moves the cursor back to where the bar was started, which must not be above what was written since
    hide: () => bar.stop(),
    redraw: () => bar.start(Math.max(total, 1), position, { text }),
  }
}

/** Values that stand beside the position: `{ loss: '0.4312', 's/step': '1.20' }`. */
export type StageValues = Readonly<Record<string, string | number>>

export type Progress = {
  position: number
  /** 0 where it is unknown. */
  total: number
  unit: string
  /** The first position of this process, and the seconds since then: a resumed run does not start at 0. */
  startPosition: number
  seconds: number
  values: StageValues
}

/** `412/2000 steps · 0.83 steps/s · 32 min left · loss 0.4312` */
export function progressText(progress: Progress): string {
  const { position, total, unit, values } = progress
  const whole = Math.floor(position)
  const count = total > 0 ? `${whole}/${total} ${unit}` : `${whole} ${unit}`
  return [count, ...pace(progress), ...Object.entries(values).map(([name, value]) => `${name} ${value}`)].join(' · ')
}

/** Rate and remaining time; empty until they can be estimated. */
function pace({ position, total, unit, seconds, startPosition }: Progress): string[] {
  const rate = (position - startPosition) / seconds
  if (!(rate > 0) || !Number.isFinite(rate)) return []
  const left = total > 0 && position < total ? [`${durationText((total - position) / rate)} left`] : []
  return [`${roughText(rate)} ${unit}/s`, ...left]
}
