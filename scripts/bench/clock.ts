/** What every benchmark tells of a process and its clock. */

export const since = (started: number) => (performance.now() - started) / 1000

/** On a crowded machine the processor's time, of all threads together, says more than the clock's. */
export type Spent = { seconds: number; cpuSeconds: number }

/** @returns what was spent since the call. */
export function startClock(): () => Spent {
  const [started, before] = [performance.now(), process.cpuUsage()]
  return () => {
    const { user, system } = process.cpuUsage(before)
    return { seconds: since(started), cpuSeconds: (user + system) / 1e6 }
  }
}

export const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN

/** Of seconds and processor time each. */
export const medianSpent = (all: readonly Spent[]): Spent => ({
  seconds: median(all.map(({ seconds }) => seconds)),
  cpuSeconds: median(all.map(({ cpuSeconds }) => cpuSeconds)),
})

export const peakGigabytes = () => (process.resourceUsage().maxRSS * 1024) / 1e9
