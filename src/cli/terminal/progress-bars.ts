/** Progress bars for a terminal. Stages may be nested; only the bar of the innermost one is on the screen. */

import type { Writable } from 'node:stream'
import cliProgress from 'cli-progress'
import { type Progress, progressText } from '../../platform/progress-text.ts'

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
