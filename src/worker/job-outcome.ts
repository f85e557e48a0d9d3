/** What comes of a job: the output of its request, or the error that the client gets. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { ProcessEnd } from '../machine/job-process.ts'
import { withoutFolders } from '../platform/client-text.ts'
import { type ErrorCode, UserError } from '../platform/errors.ts'
import { filesBelow, isLeftover } from '../platform/files.ts'
import type { QueuedRequest, RequestError } from '../queue/request.ts'
import type { JobError } from './job-events.ts'
import type { JobFolder } from './job-files.ts'
import type { JobInput, PreparedJob } from './prepared-job.ts'

export const timeoutError = (seconds: number | undefined): RequestError => ({
  status: 504,
  detail: `Request exceeded its time limit of ${seconds} s`,
  type: 'request_timeout',
})

/**
 * The output of a finished request: keys of files. Of a training the LoRA, its config, the previews in one file, and the fitted clips where they were asked
 * for; of recordings that were transformed, the first one, and all of them.
 */
export function outputOf({ kind }: QueuedRequest, folder: JobFolder): Readonly<Record<string, unknown>> {
  if (kind === 'apply') {
    const names = filesBelow(folder.path).filter((name) => !isLeftover(name))
    const keys = names.map((name) => folder.keyOf(name))
    return { audio: keys[0], audio_files: keys }
  }
  const optional = (field: string, name: string) =>
    existsSync(join(folder.path, name)) ? { [field]: folder.keyOf(name) } : {}
  return {
    lora_file: folder.keyOf('lora.safetensors'),
    config_file: folder.keyOf('config.json'),
    ...optional('audio', 'audio.wav'),
    ...optional('debug_dataset', 'debug_dataset.zip'),
  }
}

/** The exit code of the tool for what the user can correct. */
const userErrorCode = 2

/** The error of a process that ended with something else than 0, and that nobody has stopped. */
export function errorOf(
  request: QueuedRequest,
  { code, signal }: ProcessEnd,
  error: JobError | undefined,
  job: PreparedJob,
): RequestError {
  if (signal !== null) return internalError(`The process was killed (${signal}), probably because memory ran out`)
  if (!error) return internalError(`The process ended with exit code ${code}`)
  const message = job.shown(error.message)
  if (code !== userErrorCode || error.code === 'machine_error') return internalError(firstLine(message))
  return inputError(request, { ...error, code: error.code, message }, placeOf(error, job.inputs))
}

/** The error of a job that could not be prepared. */
export function preparationError(request: QueuedRequest, error: unknown): RequestError {
  if (!(error instanceof UserError) || error.code === 'machine_error')
    return internalError(error instanceof Error ? firstLine(error.message) : String(error))
  const { message, context, parameter } = error
  return inputError(request, {
    ...{ message, code: error.code },
    ...(context && { context }),
    ...(parameter !== undefined && { parameter }),
  })
}

const internalError = (detail: string): RequestError => ({
  status: 500,
  detail: withoutFolders(detail),
  type: 'internal_error',
})

/** Without the stack. */
const firstLine = (text: string) => text.split('\n')[0] ?? ''

/** The code is one of the types of the API. */
type InputMistake = Pick<JobError, 'message' | 'context' | 'parameter'> & {
  code?: Exclude<ErrorCode, 'machine_error'> | undefined
}

const inputError = (
  { kind }: QueuedRequest,
  { message, code, context, parameter }: InputMistake,
  place?: JobInput['place'],
): RequestError => {
  const data = kind === 'train' ? 'training_data_url' : 'inputs'
  return {
    status: 422,
    detail: [
      {
        loc: ['body', ...(place ?? (parameter !== undefined ? [parameter] : code === undefined ? [] : [data]))],
        msg: withoutFolders(message),
        type: code ?? 'value_error',
        ...(context && { ctx: context }),
      },
    ],
  }
}

/** The input that a message is about. */
const placeOf = ({ message }: JobError, inputs: readonly JobInput[]) =>
  inputs.find(({ called }) => message.includes(called))?.place
