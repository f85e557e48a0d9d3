/** The queue of requests: one code path on an embedded PostgreSQL and on a server. */
import type { LogLine, NewRequest, QueuedRequest, RequestError, RequestProgress } from './request.ts'

export type Queue = {
  submit(request: NewRequest): Promise<QueuedRequest>
  get(id: string): Promise<QueuedRequest | undefined>
  /** The newest first. @param before only requests that were submitted before this one. */
  list(options: { limit: number; before?: string | undefined }): Promise<QueuedRequest[]>
  /** How many requests are before it; 0 for the next one, and for those that are not waiting. */
  position(id: string): Promise<number>
  /** The log so far. @param from leaves out as many lines. */
  logs(id: string, from?: number): Promise<LogLine[]>
  /** Ends a waiting request at once. A running one is stopped by its worker. */
  cancel(id: string): Promise<'requested' | 'completed' | 'unknown'>
  /** Puts a request that was cancelled or failed back: its run goes on. @returns whether it could be. */
  resume(id: string): Promise<boolean>
  /** The next request for a worker, which must extend its lease. Undefined where none is waiting. */
  claim(worker: string): Promise<Claim | undefined>
  /** Returns requests of workers that died to the queue. Called every few seconds, by one or more processes. */
  supervise(): Promise<void>
  /** Removes completed requests, with their logs. @returns their ids. */
  removeCompleted(before: Date): Promise<string[]>
  counts(): Promise<{ waiting: number; running: number; succeeded: number; failed: number }>
  close(): Promise<void>
}

/** A request in the hands of a worker. Nothing that is written through a claim that was lost has an effect. */
export type Claim = {
  request: QueuedRequest
  /** 1 for the first worker that has it. */
  attempt: number
  /** Extends the lease. `lost`: another worker has the request, or it is completed; this one must stop at once and write nothing. */
  heartbeat(): Promise<'working' | 'cancel' | 'lost'>
  log(lines: readonly LogLine[]): Promise<void>
  progress(progress: RequestProgress): Promise<void>
  /** @returns false where the claim was lost. */
  complete(output: Readonly<Record<string, unknown>>): Promise<boolean>
  fail(error: RequestError): Promise<boolean>
  /** Puts the request back, for another worker or this one after a restart. */
  release(): Promise<void>
}

/** Seconds after the last heartbeat until a request is given to another worker. */
export const leaseSeconds = 30
