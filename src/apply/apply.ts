/** Transforms whole recordings with LoRAs: reads one after the other, and writes a file for each. */
import { extname } from 'node:path'
import { allowedRate } from '../audio/encode.ts'
import { findFfmpeg } from '../audio/ffmpeg.ts'
import { defaultLimits, type Limits } from '../config/limits.ts'
import { type ApplyOptions, type ApplySettings, modelInputs, resolveApplySettings } from '../config/settings.ts'
import { type BaseModel, openBase } from '../model/base-model.ts'
import { openFile } from '../net/download.ts'
import { Interrupted, UserError, withParameter } from '../platform/errors.ts'
import { type OutputFile, openOutputFile } from '../platform/output-file.ts'
import { createReporter, type ProgressEvent, type Reporter, type RunOptions } from '../platform/progress.ts'
import { countText } from '../platform/text.ts'
import { openLoras } from '../preview/loras.ts'
import { marker, resultKey, stateOf } from './finished.ts'
import { findRecordings, type Recording } from './recordings.ts'
import { openSession, type Session } from './session.ts'
import { transformFile } from './transform-file.ts'

/** What came of a recording. */
export type RecordingEvent = {
  type: 'recording'
  input: string
  output: string
  /** `kept`: the file was there already, made of the same recording with the same settings. */
  status: 'written' | 'kept' | 'failed'
  /** Why it failed. */
  message?: string
  hint?: string
}

export type ApplyEvent = ProgressEvent | RecordingEvent

export type ApplyRunOptions = RunOptions<ApplyEvent> & {
  /** Limits on the size of input and on the time to decode it. */
  limits?: Limits | undefined
  /** Replace existing files that `apply` did not write. */
  force?: boolean | undefined
}

export type ApplyResult = { recordings: Omit<RecordingEvent, 'type'>[] }

/**
 * Transforms recordings of any length. One that cannot be read is reported, and the others are transformed.
 * @throws UserError before anything is written, for settings, LoRAs or outputs that cannot be used, and for a single recording that cannot be read.
 *   Interrupted when the signal was aborted: files that were finished are kept, and the same call continues with the others.
 */
export async function apply(options: ApplyOptions, runOptions: ApplyRunOptions = {}): Promise<ApplyResult> {
  return applyToRecordings(resolveApplySettings({ options }), runOptions)
}

/** `apply` with settings that were resolved before. */
export async function applyToRecordings(settings: ApplySettings, runOptions: ApplyRunOptions): Promise<ApplyResult> {
  const reporter = createReporter<ApplyEvent>(runOptions)
  await findFfmpeg() // rather than report every recording as unreadable
  const recordings = await findRecordings(settings)
  const inputs = [
    ...recordings.map(({ location }) => location),
    ...settings.loras.map(({ path }) => path),
    ...modelInputs(settings),
  ]
  const jobs = recordings.map((recording) => {
    requireRate(recording.out, settings.sampleRate)
    return { recording, file: openResult(recording.out, { inputs, marker, force: runOptions.force }) }
  })
  const base = openBase(settings)
  try {
    return await applyWith(base, jobs, { settings, limits: runOptions.limits ?? defaultLimits }, reporter)
  } finally {
    base.close()
  }
}

function openResult(path: string, options: Parameters<typeof openOutputFile>[1]): OutputFile {
  const file = openOutputFile(path, options)
  if (file.isStream) throw new UserError(`${path} is not a regular file`, { hint: 'choose another --out' })
  return file
}

function requireRate(out: string, sampleRate: number | undefined) {
  if (sampleRate === undefined) return
  const extension = extname(out).toLowerCase()
  const allowed = allowedRate(extension, sampleRate)
  if (allowed !== sampleRate)
    throw new UserError(`${out} cannot have ${sampleRate} Hz`, {
      hint: `use --sample-rate ${allowed}, or another format than ${extension}`,
    })
}

type Job = { recording: Recording; file: OutputFile }

type Context = { settings: ApplySettings; limits: Limits }

async function applyWith(
  base: BaseModel,
  jobs: readonly Job[],
  { settings, limits }: Context,
  reporter: Reporter<ApplyEvent>,
): Promise<ApplyResult> {
  const opened = openLoras(base, settings, reporter)
  const windowSeconds = settings.window ?? opened.clipSeconds ?? defaultWindowSeconds
  const keyOf = await resultKey(base, settings, opened, windowSeconds)
  const results: ApplyResult['recordings'] = []
  let session: Session | undefined
  const transform = async ({ recording, file }: Job, title: string): Promise<RecordingEvent['status']> => {
    if (recording.problem) throw new UserError(recording.problem.message, recording.problem)
    const { signal } = reporter
    const source = await withParameter('inputs', () => openFile(recording.location, { limits, signal }))
    try {
      const key = await keyOf(source.path)
      const before = stateOf(file.path, key)
      if (before === 'finished') return 'kept'
      reporter.info(before === 'other' ? `${title}, in place of a result with other settings` : title)
      const openModel = async () => {
        session ??= await openSession(base, { settings, opened, windowSeconds }, reporter)
        return session
      }
      const job = { name: recording.name, file, key, normalize: opened.normalize, openModel, settings, limits }
      await transformFile(source.path, job, reporter)
      return 'written'
    } finally {
      await source.close()
    }
  }
  try {
    for (const [i, job] of jobs.entries()) {
      const { name: input, out: output } = job.recording
      const title = `${input} → ${output}${jobs.length > 1 ? ` (${i + 1} of ${jobs.length})` : ''}`
      const result = await transform(job, title).then(
        (status) => ({ input, output, status }),
        (error) => {
          if (jobs.length === 1) throw error
          return failure(error, { input, output })
        },
      )
      results.push(result)
      await reporter.emit({ type: 'recording', ...result })
      reporter.throwIfAborted()
    }
    if (jobs.length > 1) reporter.info(summaryOf(results))
    return { recordings: results }
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error
    const done = results.filter(({ status }) => status !== 'failed').length
    throw new Interrupted(`stopped: ${done} of ${countText(jobs.length, 'recording')} finished`, {
      hint:
        done > 0
          ? 'run the same command again; finished recordings are kept, the one in progress starts again'
          : 'run the same command again; it starts from the beginning',
    })
  } finally {
    session?.close()
  }
}

/** `7 recordings transformed, 2 kept, 1 failed` */
function summaryOf(results: ApplyResult['recordings']): string {
  const count = (status: RecordingEvent['status']) => results.filter((result) => result.status === status).length
  const others = (['kept', 'failed'] as const).flatMap((status) =>
    count(status) > 0 ? [`${count(status)} ${status}`] : [],
  )
  return [`${countText(count('written'), 'recording')} transformed`, ...others].join(', ')
}

/** The length of a clip of the training by default. */
const defaultWindowSeconds = 5

/** @throws the error itself where it is not about one recording. */
function failure(error: unknown, recording: { input: string; output: string }): Omit<RecordingEvent, 'type'> {
  const { message, hint } = error instanceof UserError ? error : systemError(error)
  return { ...recording, status: 'failed', message, ...(hint !== undefined && { hint }) }
}

/** @throws the error itself where it is not one of the system, such as a missing permission. */
function systemError(error: unknown): { message: string; hint?: string } {
  if (!(error instanceof Error) || typeof (error as NodeJS.ErrnoException).syscall !== 'string') throw error
  return { message: error.message.replace(/^[A-Z]+: /, '') }
}
