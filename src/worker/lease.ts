/** Keeps a request: extends its lease until it is closed, and says when it has to stop. */
import { type Claim, leaseSeconds } from '../queue/queue.ts'
import type { StopReason } from './stopping.ts'

export type LeaseOptions = {
  heartbeatMs: number
  /** When the time of the request is over, in milliseconds since 1970. */
  deadline: number
  onStop: (reason: StopReason) => void
  onError?: ((error: unknown) => void) | undefined
}

/** Seconds before the end of the lease at which the work stops if it cannot be extended: as long as a process may take to save. */
const margin = 10

export function keepLease(claim: Pick<Claim, 'heartbeat'>, options: LeaseOptions): { close(): void } {
  const { heartbeatMs, deadline, onStop, onError } = options
  let extendedAt = performance.now()
  let isBeating = false
  const beat = async () => {
    const startedAt = performance.now()
    isBeating = true
    try {
      const state = await claim.heartbeat()
      extendedAt = startedAt
      if (state !== 'working') onStop(state)
    } catch (error) {
      onError?.(error)
    } finally {
      isBeating = false
    }
  }
  const tick = () => {
    if (Date.now() >= deadline) onStop('timeout')
    if (performance.now() - extendedAt > 1000 * (leaseSeconds - margin)) onStop('lease')
    if (!isBeating) void beat() // one that hangs is noticed by the end of the lease
  }
  const timer = setInterval(tick, heartbeatMs)
  tick()
  return { close: () => clearInterval(timer) }
}
