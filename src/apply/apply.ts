/** Transforms whole recordings with LoRAs: reads one after the other, and writes a file for each. */
import { defaultLimits, type Limits } from '../config/limits.ts'
import { type ApplyOptions, type ApplySettings, resolveApplySettings } from '../config/settings.ts'
import { type BaseModel, openBase } from '../model/base-model.ts'
import { openFile } from '../net/download.ts'
import { Interrupted, UserError } from '../platform/errors.ts'
import { type OutputFile, openOutputFile } from '../platform/output-file.ts'
import { createReporter, type ProgressEvent, type Reporter, type RunOptions } from '../platform/progress.ts'
import { countText } from '../platform/text.ts'
import { openLoras } from '../preview/loras.ts'
import { isFinished, marker, resultKey } from './finished.ts'
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
 * @throws UserError before anything is written, for settings, LoRAs or outputs that cannot be used, and for a single recording that cannot be read. Interrupted when the signal was aborted: files that
 * were finished are kept, and the same call continues with the others.
 */
export async function apply(options: ApplyOptions, runOptions: ApplyRunOptions = {}): Promise<ApplyResult> {
  return applyToRecordings(resolveApplySettings({ options }), runOptions)
}

/** `apply` with settings that were resolved before. @param modelInputs the files of the model, which are never overwritten. */
export async function applyToRecordings(
  settings: ApplySettings,
  runOptions: ApplyRunOptions,
  modelInputs: readonly (string | undefined)[] = [],
): Promise<ApplyResult> {
  const reporter = createReporter<ApplyEvent>(runOptions)
  const recordings = await findRecordings(settings)
  const inputs = [
    ...recordings.map(({ location }) => location),
    ...settings.loras.map(({ path }) => path),
    ...modelInputs,
  ]
  const jobs = recordings.map((recording) => ({
    recording,
    file: openResult(recording.out, { inputs, marker, force: runOptions.force }),
  }))
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
    const source = await openFile(recording.location, { limits, signal: reporter.signal })
    try {
      const key = await keyOf(source.path)
      if (isFinished(file.path, key)) return 'kept'
      reporter.info(title)
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
      const title = jobs.length > 1 ? `${input} (${i + 1} of ${jobs.length})` : input
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
    return { recordings: results }
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error
    const done = results.filter(({ status }) => status !== 'failed').length
    throw new Interrupted(`stopped: ${done} of ${countText(jobs.length, 'recording')} finished`, {
      hint: 'run the same command again; finished recordings are kept',
    })
  } finally {
    session?.close()
  }
}

/** The length of a clip of the training by default. */
const defaultWindowSeconds = 5

/** @throws the error itself where it is not about one recording. */
function failure(error: unknown, recording: { input: string; output: string }): Omit<RecordingEvent, 'type'> {
  if (!(error instanceof UserError)) throw error
  const { message, hint } = error
  return { ...recording, status: 'failed', message, ...(hint !== undefined && { hint }) }
}
