/** Lines that move, for a terminal that can. Stages may lie within each other; only the innermost is on the screen. */
import type { Writable } from 'node:stream'
import cliProgress from 'cli-progress'
import { type Progress, progressText } from './progress.ts'

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
