/**
 * How long-running functions report progress and are stopped. The core writes to no terminal: it emits events to its caller. It is stopped through an
 * `AbortSignal`.
 */
import { Interrupted } from './errors.ts'

/** A part of the work that takes a while. A stage may begin and end within another. */
export type StageEvent = {
  type: 'stage'
  /** For people: "Encoding clips". The events of one stage share it. */
  stage: string
  status: 'started' | 'running' | 'finished'
  /** In `unit`, counted from the beginning of the work. A resumed run starts at the position where it was stopped. */
  position: number
  /** Undefined where it is unknown. */
  total?: number
  unit: string
  /** Numbers worth showing beside the position: `{ loss: 0.4312 }`. */
  values?: Readonly<Record<string, number>>
  /** What came of the stage, with status `finished`. */
  summary?: string
}

/** Something that people should know although nothing stops. */
export type WarningEvent = { type: 'warning'; message: string; hint?: string }

/** A message for the log. */
export type InfoEvent = { type: 'info'; message: string }

export type ProgressEvent = StageEvent | WarningEvent | InfoEvent

/** What every long-running function of the library takes. */
export type RunOptions<Event> = {
  /** Stops the work at the next safe point: what is done is kept, and the promise is rejected with `Interrupted`. */
  signal?: AbortSignal | undefined
  /** Called with every event, in order. The work waits for a promise that it returns, and ends with its error when it throws or rejects. */
  onEvent?: ((event: Event) => void | Promise<void>) | undefined
}

export type Stage = {
  update(position: number, values?: Readonly<Record<string, number>>): void
  finish(summary?: string): void
}

/** What the functions of the core call to emit events, and to learn that they should stop. */
export type Reporter<in Event = ProgressEvent> = {
  emit: (event: Event | ProgressEvent) => Promise<void>
  info(message: string): void
  warn(message: string, hint?: string): void
  /** @param total undefined where it is unknown. @param start the position at the start of the stage. */
  stage(label: string, total: number | undefined, unit: string, start?: number): Stage
  signal: AbortSignal
  /** @throws Interrupted once the signal was aborted; the error of a listener that failed. */
  throwIfAborted(): void
  /** Waits for the listeners. @throws the error of one that failed. */
  settled(): Promise<void>
}

/** The caller's `onEvent` and `signal` as what the core works with. A listener that fails makes every later `emit` fail. */
export function createReporter<Event>({ signal, onEvent }: RunOptions<Event | ProgressEvent> = {}): Reporter<Event> {
  const never = new AbortController().signal
  let pending: Promise<unknown> = Promise.resolve()
  let failure: { error: unknown } | undefined
  const resultOf = (event: Event | ProgressEvent) => {
    try {
      return onEvent?.(event)
    } catch (error) {
      return Promise.reject(error) // as if the listener were asynchronous
    }
  }
  const send = (event: Event | ProgressEvent) => {
    const result = resultOf(event)
    if (!result) return
    pending = Promise.all([pending, result])
    pending.catch((error) => {
      failure ??= { error } // the next emit rejects with it
    })
  }
  return {
    signal: signal ?? never,
    emit: async (event) => {
      send(event)
      await pending
    },
    info: (message) => send({ type: 'info', message }),
    warn: (message, hint) => send({ type: 'warning', message, ...(hint !== undefined && { hint }) }),
    stage: (label, total, unit, start = 0) => {
      const common = { type: 'stage' as const, stage: label, unit, ...(total !== undefined && { total }) }
      let last = start
      send({ ...common, status: 'started', position: start })
      return {
        update: (position, values) => {
          last = position
          send({ ...common, status: 'running', position, ...(values && { values }) })
        },
        finish: (summary) =>
          send({ ...common, status: 'finished', position: total ?? last, ...(summary !== undefined && { summary }) }),
      }
    },
    throwIfAborted: () => {
      if (failure) throw failure.error
      if (signal?.aborted) throw new Interrupted('stopped')
    },
    settled: async () => {
      await pending
    },
  }
}
