/** A connection that says nothing for a minute is given up, and another one tried. */

const longestSilence = 60_000

export type Silence = {
  /** Fires when nothing was heard for too long, and when the outer signal does. */
  signal: AbortSignal
  heard(): void
  end(): void
}

/** Call `end` in any case: its timer would keep the process alive. */
export function listenForSilence(signal: AbortSignal): Silence {
  const controller = new AbortController()
  const giveUp = () => controller.abort(new Error('nothing was heard for a minute'))
  const stop = () => controller.abort(signal.reason)
  let timer = setTimeout(giveUp, longestSilence)
  signal.addEventListener('abort', stop, { once: true })
  if (signal.aborted) stop()
  return {
    signal: controller.signal,
    heard: () => {
      clearTimeout(timer)
      timer = setTimeout(giveUp, longestSilence)
    },
    end: () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', stop)
      controller.abort()
    },
  }
}
