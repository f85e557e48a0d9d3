/** What comes of a job: the output of its request, or the error that the client gets. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { ProcessEnd } from '../machine/job-process.ts'
import { withoutFolders } from '../platform/client-text.ts'
import { type ErrorCode, UserError, type UserErrorOptions } from '../platform/errors.ts'
import { filesBelow, isLeftover } from '../platform/files.ts'
import type { QueuedRequest, RequestError } from '../queue/request.ts'
import type { JobError } from './job-events.ts'
import type { JobFolder } from './job-files.ts'
import type { PreparedJob } from './prepared-job.ts'

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
  { code, signal }: ProcessEnd,
  error: JobError | undefined,
  { shown }: Pick<PreparedJob, 'shown'>,
): RequestError {
  if (signal !== null) return internalError(`The process was killed (${signal}), probably because memory ran out`)
  if (!error) return internalError(`The process ended with exit code ${code}`)
  const message = shown(error.message)
  if (code !== userErrorCode || error.code === 'machine_error') return internalError(firstLine(message))
  return inputError({ ...error, code: error.code, message })
}

/** The error of a job that could not be prepared. */
export function preparationError(error: unknown): RequestError {
  if (!(error instanceof UserError) || error.code === 'machine_error')
    return internalError(error instanceof Error ? firstLine(error.message) : String(error))
  const { message, code, context, parameter, place } = error
  return inputError({ message, code, context, parameter, place })
}

const internalError = (detail: string): RequestError => ({
  status: 500,
  detail: withoutFolders(detail),
  type: 'internal_error',
})

/** Without the stack. */
const firstLine = (text: string) => text.split('\n')[0] ?? ''

/** The code is one of the types of the API. */
type InputMistake = { message: string; code?: Exclude<ErrorCode, 'machine_error'> | undefined } & Pick<
  UserErrorOptions,
  'context' | 'parameter' | 'place'
>

const inputError = ({ message, code, context, parameter, place = [] }: InputMistake): RequestError => ({
  status: 422,
  detail: [
    {
      loc: ['body', ...(parameter === undefined ? [] : [parameter, ...place])],
      msg: withoutFolders(message),
      type: code ?? 'value_error',
      ...(context && { ctx: context }),
    },
  ],
})
