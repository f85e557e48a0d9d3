/** Ctrl-C and SIGTERM as a question that long work asks itself; the second one leaves at once. */
import { Interrupted } from '../errors.ts'

export type Interruption = {
  requested(): boolean
  /** @throws Interrupted when it was requested. */
  check(): void
  /** Gives the signals back. */
  release(): void
}

export function watchInterruption(onRequest: () => void): Interruption {
  let requested = false
  const request = (signal: NodeJS.Signals) => {
    if (requested) process.exit(signal === 'SIGTERM' ? 143 : 130)
    requested = true
    onRequest()
  }
  process.on('SIGINT', request).on('SIGTERM', request)
  return {
    requested: () => requested,
    check: () => {
      if (requested) throw new Interrupted('stopped before training began')
    },
    release: () => {
      process.off('SIGINT', request).off('SIGTERM', request)
    },
  }
}
