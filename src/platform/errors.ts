/**
 * What kind of mistake it is, for programs: a download that failed, an archive that cannot be used, recordings that are shorter than a clip, a file that
 * is no audio of a known type, a feature that is not offered; or `machine_error`, which is not in the input: a full disk, a missing program.
 */
export type ErrorCode =
  | 'file_download_error'
  | 'invalid_archive'
  | 'audio_duration_too_short'
  | 'unsupported_audio_format'
  | 'feature_not_supported'
  | 'machine_error'

/** The numbers of the message, by their names. */
export type ErrorContext = Readonly<Record<string, number>>

export type UserErrorOptions = {
  hint?: string | undefined
  cause?: unknown
  code?: ErrorCode | undefined
  context?: ErrorContext | undefined
  /** The parameter that is to be changed, by its name in a job file, where it is one. */
  parameter?: string | undefined
}

/** A mistake that the user can correct: one sentence with the concrete name and number, and a hint that says what to do. */
export class UserError extends Error {
  override readonly name = 'UserError'
  readonly hint?: string
  readonly code?: ErrorCode
  readonly context?: ErrorContext
  readonly parameter?: string

  constructor(message: string, { hint, cause, code, context, parameter }: UserErrorOptions = {}) {
    super(message, { cause })
    if (hint !== undefined) this.hint = hint
    if (code !== undefined) this.code = code
    if (context !== undefined) this.context = context
    if (parameter !== undefined) this.parameter = parameter
  }
}

/** The same error with a code, where it is a `UserError` without one. */
export function withCode(error: unknown, code: ErrorCode): unknown {
  if (!(error instanceof UserError) || error.code !== undefined) return error
  const { message, hint, cause, parameter } = error
  return new UserError(message, { hint, cause, code, parameter })
}

/** The work was stopped on request. What was done is saved, and the hint says how to continue. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted'
  readonly hint?: string

  constructor(message: string, { hint }: { hint?: string | undefined } = {}) {
    super(message)
    if (hint !== undefined) this.hint = hint
  }
}
