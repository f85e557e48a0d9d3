/** Time and memory of the process that runs a benchmark. */
import { median } from '../../src/platform/statistics.ts'

export const secondsSince = (started: number) => (performance.now() - started) / 1000

/** Wall time, and CPU time of all threads together. On a machine that is not idle, CPU time is more meaningful. */
export type Duration = { seconds: number; cpuSeconds: number }

/** @returns a function that returns the time since this call. */
export function startTimer(): () => Duration {
  const [started, cpuBefore] = [performance.now(), process.cpuUsage()]
  return () => {
    const { user, system } = process.cpuUsage(cpuBefore)
    return { seconds: secondsSince(started), cpuSeconds: (user + system) / 1e6 }
  }
}

/** The medians of wall time and of CPU time. */
export const medianDuration = (durations: readonly Duration[]): Duration => ({
  seconds: median(durations.map(({ seconds }) => seconds)),
  cpuSeconds: median(durations.map(({ cpuSeconds }) => cpuSeconds)),
})

/** The largest resident memory of the process so far, in 10⁹ bytes. */
export const peakGigabytes = () => (process.resourceUsage().maxRSS * 1024) / 1e9
