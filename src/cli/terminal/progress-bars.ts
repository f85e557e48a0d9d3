/** Lines that move, for a terminal that can. Stages may lie within each other; only the innermost is on the screen. */

import type { Writable } from 'node:stream'
import cliProgress from 'cli-progress'

export type LiveBars = {
  open(label: string, total: number): { show(progress: Progress): void; close(): void }
  /** Takes the bar off the screen while something else is written. */
  aside(write: () => void): void
  closeAll(): void
}

export function createLiveBars(stream: Writable): LiveBars {
  const bars: Bar[] = []
  const hide = () => bars.at(-1)?.hide()
  const unhide = () => bars.at(-1)?.unhide()
  const remove = (bar: Bar) => {
    if (!bars.includes(bar)) return
    hide()
    bars.splice(bars.indexOf(bar), 1)
    unhide()
  }
  return {
    open: (label, total) => {
      hide()
      const bar = createBar(stream, label, total)
      bars.push(bar)
      unhide()
      return { show: bar.show, close: () => remove(bar) }
    },
    aside: (write) => {
      hide()
      write()
      unhide()
    },
    closeAll: () => {
      hide()
      bars.length = 0
    },
  }
}

type Bar = { show(progress: Progress): void; hide(): void; unhide(): void }

/** @param total 0 where nobody knows: the line then has no bar. */
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
    gracefulExit: false, // Ctrl-C belongs to the run
  })
  let [position, text] = [0, '']
  return {
    show: (progress) => {
      ;[position, text] = [progress.position, progressText(progress)]
      bar.update(position, { text }) // does nothing while hidden
    },
    // Stopped, not only wiped: stopping puts the cursor back to where the bar was started, which must not be above what was written since.
    hide: () => bar.stop(),
    unhide: () => bar.start(Math.max(total, 1), position, { text }),
  }
}

/** Progress in words: the same for a live bar and for the lines of a log. */

/** Whatever else is worth seeing while it moves: `{ loss: '0.4312', 's/step': '1.20' }`. */
export type Extras = Readonly<Record<string, string | number>>

export type Progress = {
  position: number
  /** 0 where nobody knows. */
  total: number
  unit: string
  /** The position first heard of, and the seconds since then: a resumed run was not that fast. */
  begunAt: number
  seconds: number
  extras: Extras
}

/** `412/2000 steps · 0.83 steps/s · 32 min left · loss 0.4312` */
export function progressText(progress: Progress): string {
  const { position, total, unit, extras } = progress
  const whole = Math.floor(position)
  const count = total > 0 ? `${whole}/${total} ${unit}` : `${whole} ${unit}`
  return [count, ...pace(progress), ...Object.entries(extras).map(([name, value]) => `${name} ${value}`)].join(' · ')
}

/** Nothing until there is something to go by. */
function pace({ position, total, unit, seconds, begunAt }: Progress): string[] {
  const rate = (position - begunAt) / seconds
  if (!(rate > 0) || !Number.isFinite(rate)) return []
  const left = total > 0 && position < total ? [`${durationText((total - position) / rate)} left`] : []
  return [`${rate >= 100 ? rate.toFixed(0) : rate.toPrecision(2)} ${unit}/s`, ...left]
}

/** The two largest units: `1 h 5 min`, `3 min 20 s`, `4 s`. */
export function durationText(seconds: number): string {
  const whole = Math.round(seconds)
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)]
  if (hours > 0) return `${hours} h ${minutes} min`
  return minutes > 0 ? `${minutes} min ${whole % 60} s` : `${whole} s`
}
