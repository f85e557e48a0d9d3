/** The work on one request, from its claim to what is written about it at the end. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type ProcessEnd, startJobProcess } from '../machine/job-process.ts'
import { Interrupted } from '../platform/errors.ts'
import { lockHolder, removeForeignLock } from '../platform/lock.ts'
import type { Claim } from '../queue/queue.ts'
import { cancelledError, type RequestError } from '../queue/request.ts'
import { createJobEvents, type JobEvents } from './job-events.ts'
import type { JobFiles, JobFolder } from './job-files.ts'
import { createJobLog, type JobLog } from './job-log.ts'
import { errorOf, outputOf, preparationError, timeoutError } from './job-outcome.ts'
import { keepLease } from './lease.ts'
import { type PreparedJob, prepareJob } from './prepared-job.ts'
import { retrying } from './retrying.ts'
import { createStopControl, type StopControl } from './stopping.ts'

export type JobOptions = {
  files: JobFiles
  /** The script of the tool. */
  bin: string
  env?: Readonly<Record<string, string>> | undefined
  /** Aborted when the worker ends. */
  shutdown: AbortSignal
  heartbeatMs: number
  /** Called with errors of the queue and of saving, which are tried again. */
  onError?: ((error: unknown) => void) | undefined
}

/** What is written about the request. */
type Outcome =
  | { type: 'complete'; output: Readonly<Record<string, unknown>> }
  | { type: 'fail'; error: RequestError }
  | { type: 'release' }
  | { type: 'nothing' }

/** Does the work of a request. Never rejects: what goes wrong is written to the request. */
export async function runJob(claim: Claim, options: JobOptions): Promise<void> {
  const { shutdown, heartbeatMs, onError } = options
  const control = createStopControl()
  const onShutdown = () => control.stop('shutdown')
  shutdown.addEventListener('abort', onShutdown)
  if (shutdown.aborted) onShutdown()
  const log = createJobLog(claim, { onError })
  const lease = keepLease(claim, { heartbeatMs, deadline: deadlineOf(claim), onStop: control.stop, onError })
  try {
    const outcome = await work(claim, options, control, log).catch((error) => outcomeOfFailure(error, log))
    await log.close({ discard: outcome.type === 'nothing' })
    await settle(claim, outcome, control, options)
    if (outcome.type !== 'release') await options.files.discard(claim.request.id).catch((error) => onError?.(error))
  } finally {
    lease.close()
    shutdown.removeEventListener('abort', onShutdown)
    control.close()
  }
}

/** What earlier workers have worked counts; the time between them, in which the request waited, does not. */
function deadlineOf({ request: { workedSeconds, timeLimit } }: Claim): number {
  if (timeLimit === undefined) return Number.POSITIVE_INFINITY
  return Date.now() + 1000 * (timeLimit - workedSeconds)
}

async function work(
  claim: Claim,
  { files, bin, env, shutdown, onError }: JobOptions,
  control: StopControl,
  log: JobLog,
): Promise<Outcome> {
  const { request } = claim
  if (request.cancelRequested) control.stop('cancel')
  let job: PreparedJob | undefined
  let end: ProcessEnd
  let folder: JobFolder
  let events: JobEvents
  try {
    if (claim.attempt > 1) log.add(`Attempt ${claim.attempt}`)
    control.signal.throwIfAborted()
    folder = await files.open(request.id, claim.attempt)
    await waitForOtherProcess(folder.path, control.signal, log)
    await folder.load(control.signal)
    job = await prepareJob(request, folder, control.signal)
    control.signal.throwIfAborted()
    const { args, shown } = job
    events = createJobEvents({
      log,
      shown,
      isQuiet: () => control.signal.aborted,
      onCheckpoint: () => void folder.save().catch((error) => onError?.(error)), // tried again at the next one
    })
    const started = startJobProcess(args, { bin, env, onLine: events.readLine })
    control.attach(started)
    end = await started.ended
    control.close()
    await saveAtEnd(folder, control, { shutdown, onError })
  } catch (error) {
    await job?.close()
    return outcomeOfStop(claim, control, log) ?? outcomeOfFailure(error, log)
  }
  try {
    if (end.code === 0 && !control.reasons.has('lost')) return { type: 'complete', output: outputOf(request, folder) }
    const stopped = outcomeOfStop(claim, control, log, events.step())
    if (stopped) return stopped
    if (wasAskedToStop(end)) return { type: 'release' }
    return { type: 'fail', error: errorOf(end, events.error(), job) }
  } finally {
    await job.close()
  }
}

/**
 * The work of hours is not given up because the server cannot be reached for a while.
 * @throws Interrupted when this worker ends before the folder is saved: another one repeats what was not saved.
 */
async function saveAtEnd(
  folder: JobFolder,
  { reasons }: StopControl,
  options: Pick<JobOptions, 'shutdown' | 'onError'>,
) {
  const save = async () => {
    if (!reasons.has('lost')) await folder.save()
    return true
  }
  const isSaved = await retrying(save, { signal: options.shutdown, onError: options.onError })
  if (!isSaved) throw new Interrupted('the run could not be saved')
}

/** Undefined where the job was not stopped. */
function outcomeOfStop({ request }: Claim, { reasons }: StopControl, log: JobLog, step = 0): Outcome | undefined {
  const saved = step > 0 ? ` after step ${step}; the run is kept` : ''
  if (reasons.has('lost')) return { type: 'nothing' }
  if (reasons.has('cancel')) {
    log.add(`Cancelled${saved}`)
    return { type: 'fail', error: cancelledError }
  }
  if (reasons.has('timeout')) {
    log.add(`Stopped by the time limit of ${request.timeLimit} s${saved}`, 'ERROR')
    return { type: 'fail', error: timeoutError(request.timeLimit) }
  }
  if (reasons.size === 0) return undefined
  log.add(`Interrupted${step > 0 ? ` after step ${step}` : ''}: the request is back in the queue`)
  return { type: 'release' }
}

function outcomeOfFailure(error: unknown, log: JobLog): Outcome {
  if (error instanceof Interrupted) return { type: 'release' }
  log.add(error instanceof Error ? error.message : String(error), 'ERROR')
  return { type: 'fail', error: preparationError(error) }
}

/** By somebody else: a system that shuts down sends the signal to every process, and this worker will get it, too. */
const wasAskedToStop = ({ code, signal }: ProcessEnd) =>
  [129, 130, 143].includes(code ?? 0) || ['SIGHUP', 'SIGINT', 'SIGTERM'].includes(signal ?? '')

/** Seconds that a process whose worker was killed may take to end. It gets 10 s to save, and its lock may be that of another machine. */
const secondsToEnd = 45

/**
 * The process of a worker that was killed may still be saving the run.
 * @throws Interrupted when it does not end: the request is released.
 */
async function waitForOtherProcess(folder: string, signal: AbortSignal, log: JobLog) {
  const startedAt = performance.now()
  for (let isFirst = true; ; isFirst = false) {
    const holder = lockHolder(folder)
    if (holder === undefined || holder === 'gone') return
    if (isFirst) log.add(`Waiting for ${holder}, which is saving this run`)
    if (performance.now() - startedAt > 1000 * secondsToEnd) {
      removeForeignLock(folder) // the lease of its worker is over
      if (lockHolder(folder) === holder) throw new Interrupted(`${holder} has not ended`)
      return
    }
    await sleep(200, undefined, { signal })
  }
}

/** Writes the outcome. While the queue cannot be reached, it is tried again. */
async function settle(claim: Claim, outcome: Outcome, { reasons }: StopControl, options: JobOptions): Promise<void> {
  const { shutdown, onError } = options
  const write = async () => {
    if (reasons.has('lost') || outcome.type === 'nothing') return
    if (outcome.type === 'complete') await claim.complete(outcome.output)
    if (outcome.type === 'fail') await claim.fail(outcome.error)
    if (outcome.type === 'release') await claim.release()
  }
  await retrying(write, { signal: shutdown, onError })
}
