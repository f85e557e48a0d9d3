/** Ctrl-C and SIGTERM stop the work through an `AbortSignal`; a second one leaves at once. */

export type StopSignals = {
  /** Aborted by the first signal. */
  signal: AbortSignal
  /** The exit code of the signal that came, as shells count: 128 plus its number. Undefined as long as none came. */
  exitCode(): StopExitCode | undefined
  /** Restores the default behaviour of the signals. */
  release(): void
}

export type StopExitCode = 130 | 143

/** @param onStop called with the first signal. */
export function watchSignals(onStop: () => void): StopSignals {
  const controller = new AbortController()
  let exitCode: StopExitCode | undefined
  const stop = (signal: NodeJS.Signals) => {
    if (exitCode !== undefined) process.exit(exitCodes[signal as keyof typeof exitCodes])
    exitCode = exitCodes[signal as keyof typeof exitCodes]
    onStop()
    controller.abort()
  }
  for (const name of Object.keys(exitCodes)) process.on(name, stop)
  return {
    signal: controller.signal,
    exitCode: () => exitCode,
    release: () => {
      for (const name of Object.keys(exitCodes)) process.off(name, stop)
    },
  }
}

const exitCodes = { SIGINT: 130, SIGTERM: 143 } as const
