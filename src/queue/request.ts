/** What is asked of the server: the request of a client, how far it is, and what came of it. */
import type { InputErrorType } from './input-error-types.ts'

/** A training, or a recording to transform. */
export type RequestKind = 'train' | 'apply'

export type RequestStatus = 'IN_QUEUE' | 'IN_PROGRESS' | 'COMPLETED'

export type Priority = 'low' | 'normal'

/** In the parameters of a request, a file of the server is named by this scheme and its key: `server-file:uploads/<id>/pairs.zip`. */
export const fileScheme = 'server-file:'

/** A request as it enters the queue. */
export type NewRequest = {
  kind: RequestKind
  /** The endpoint that it was sent to: `fal-ai/ltx23-trainer-v2/a2a`. */
  endpoint: string
  /** What the client sent. */
  input: Readonly<Record<string, unknown>>
  /** The parameters of the work by their names in a job file, checked. Files of the server are named with `fileScheme`. */
  parameters: Readonly<Record<string, unknown>>
  priority: Priority
  /** Seconds within which a worker must take it, or it fails; undefined for no limit. */
  startTimeout?: number | undefined
  /** Seconds that workers may have it in all, without the time that it waits between them; undefined for no limit. */
  timeLimit?: number | undefined
  /** Where the result is sent. */
  webhook?: string | undefined
}

export type QueuedRequest = NewRequest & {
  /** A UUID. */
  id: string
  status: RequestStatus
  submittedAt: Date
  /** When a worker first took it. */
  startedAt?: Date | undefined
  completedAt?: Date | undefined
  /** Set by a client. The worker stops after the step and keeps the checkpoint. */
  cancelRequested: boolean
  /** The worker that has it, or had it last. */
  worker?: string | undefined
  /** How often a worker took it. */
  attempts: number
  /** How long workers had it, up to their last heartbeats: without the time that it waited, and that no worker ran. */
  workedSeconds: number
  progress?: RequestProgress | undefined
  /** Of a completed request: one of the two. */
  output?: Readonly<Record<string, unknown>> | undefined
  error?: RequestError | undefined
}

/** The latest of a running request, for pages and metrics. */
export type RequestProgress = {
  /** What is done now: `Encoding`, `Training`. */
  stage: string
  done: number
  total: number
  /** Of a training, whatever is done now: the last step, and its loss. */
  step?: number
  loss?: number
}

/** The answer of the API to those who ask for the output of a request that failed. */
export type RequestError = {
  /** The HTTP status of the answer: 422 where the input cannot be used, 500 where the server is at fault, 499 where it was cancelled. */
  status: number
  /** `detail` is a sentence, or the list of findings of a 422. */
  detail: string | readonly ErrorDetail[]
  /** The header `X-Fal-Error-Type`, of errors that are not the input's. */
  type?: string | undefined
}

/** Of a request that a client cancelled. */
export const cancelledError: RequestError = {
  status: 499,
  detail: 'Request was cancelled',
  type: 'client_cancelled',
}

/** Of a request that no worker took in time. */
export const startTimeoutError: RequestError = {
  status: 504,
  detail: 'Request did not start within its timeout',
  type: 'startup_timeout',
}

/** What is wrong with a field of the input. */
export type ErrorDetail = {
  /** `['body', 'rank']`. */
  loc: readonly (string | number)[]
  msg: string
  type: InputErrorType
  url?: string
  ctx?: Readonly<Record<string, unknown>>
  input?: unknown
}

export type LogLine = {
  message: string
  level: 'STDOUT' | 'INFO' | 'WARN' | 'ERROR'
  source: 'USER'
  /** ISO 8601. */
  timestamp: string
}
