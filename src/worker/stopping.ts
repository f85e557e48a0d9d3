/** Why and how a job is stopped before its end. */
import type { JobProcess } from '../machine/job-process.ts'

/**
 * `cancel`: by the client. `timeout`: it took longer than the client allows. `shutdown`: this worker ends. `lease`: the queue could not be reached for so long
 * that another worker may have the request. `lost`: another worker has it.
 */
export type StopReason = 'cancel' | 'timeout' | 'shutdown' | 'lease' | 'lost'

export type StopControl = {
  /** Aborted by the first reason. */
  readonly signal: AbortSignal
  readonly reasons: ReadonlySet<StopReason>
  stop(reason: StopReason): void
  /** The process to stop. It may be stopped at once. */
  attach(process: JobProcess): void
  close(): void
}

/** Seconds that a process gets to finish its step and save, before it is killed. */
const secondsToSave: Readonly<Record<StopReason, number>> = { cancel: 60, timeout: 60, shutdown: 8, lease: 8, lost: 0 }

export function createStopControl(): StopControl {
  const controller = new AbortController()
  const reasons = new Set<StopReason>()
  const timers: NodeJS.Timeout[] = []
  let process: JobProcess | undefined
  const apply = (reason: StopReason, isFirst: boolean) => {
    if (!process) return
    const seconds = secondsToSave[reason]
    if (seconds === 0) return process.kill()
    // a second signal would end the process before it has saved
    if (isFirst) process.signal(reason === 'cancel' || reason === 'timeout' ? 'SIGINT' : 'SIGTERM')
    timers.push(setTimeout(process.kill, 1000 * seconds))
  }
  return {
    signal: controller.signal,
    reasons,
    stop: (reason) => {
      if (reasons.has(reason)) return
      const isFirst = reasons.size === 0
      reasons.add(reason)
      controller.abort()
      apply(reason, isFirst)
    },
    attach: (started) => {
      process = started
      for (const [i, reason] of [...reasons].entries()) apply(reason, i === 0)
    },
    close: () => {
      process = undefined
      for (const timer of timers) clearTimeout(timer)
    },
  }
}
