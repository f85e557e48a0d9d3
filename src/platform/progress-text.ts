/** Progress as a line of text. */
import { durationText, roughText } from './text.ts'

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
