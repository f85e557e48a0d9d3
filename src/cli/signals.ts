/** Ctrl-C and SIGTERM as a question that long work asks itself; the second one leaves at once. */
import { Interrupted } from '../platform/errors.ts'

export type Interruption = {
  requested(): boolean
  /** @throws Interrupted when it was requested. */
  check(): void
  /** The error that ends the command, with the exit code of the signal that came. */
  stopped(message: string, hint?: string): Interrupted
  /** Gives the signals back. */
  release(): void
}

export function watchInterruption(onRequest: () => void): Interruption {
  let exitCode: 130 | 143 | undefined
  const request = (signal: NodeJS.Signals) => {
    if (exitCode !== undefined) process.exit(exitCodes[signal as keyof typeof exitCodes])
    exitCode = exitCodes[signal as keyof typeof exitCodes]
    onRequest()
  }
  process.on('SIGINT', request).on('SIGTERM', request)
  const stopped = (message: string, hint?: string) => new Interrupted(message, hint, exitCode)
  return {
    requested: () => exitCode !== undefined,
    check: () => {
      if (exitCode !== undefined) throw stopped('stopped before training began')
    },
    stopped,
    release: () => {
      process.off('SIGINT', request).off('SIGTERM', request)
    },
  }
}

/** As shells count: 128 and the signal's number. */
const exitCodes = { SIGINT: 130, SIGTERM: 143 } as const
