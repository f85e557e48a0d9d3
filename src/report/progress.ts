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
