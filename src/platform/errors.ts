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
  /** Where in its value, if the value is a list: `[0, 'reference_audio_url']`. */
  place?: ErrorPlace | undefined
}

export type ErrorPlace = readonly (string | number)[]

/** A mistake that the user can correct: one sentence with the concrete name and number, and a hint that says what to do. */
export class UserError extends Error {
  override readonly name = 'UserError'
  readonly hint?: string
  readonly code?: ErrorCode
  readonly context?: ErrorContext
  readonly parameter?: string
  readonly place?: ErrorPlace

  constructor(message: string, { hint, cause, code, context, parameter, place = [] }: UserErrorOptions = {}) {
    super(message, { cause })
    if (hint !== undefined) this.hint = hint
    if (code !== undefined) this.code = code
    if (context !== undefined) this.context = context
    if (parameter !== undefined) this.parameter = parameter
    if (place.length > 0) this.place = place
  }
}

/** The same error with a code, where it is a `UserError` without one. */
export function withCode(error: unknown, code: ErrorCode): unknown {
  return error instanceof UserError && error.code === undefined ? changed(error, { code }) : error
}

/**
 * Does work with the value of a parameter. A `UserError` names that parameter, unless it names another one or is the machine's.
 * @param place where in the value, if it is a list.
 */
export function withParameter<Result>(parameter: string, work: () => Result, place?: ErrorPlace): Result {
  const named = (error: unknown) =>
    error instanceof UserError && error.parameter === undefined && error.code !== 'machine_error'
      ? changed(error, { parameter, place })
      : error
  try {
    const result = work()
    if (!(result instanceof Promise)) return result
    return result.catch((error) => Promise.reject(named(error))) as Result
  } catch (error) {
    throw named(error)
  }
}

/** The place of an entry in a list; a single value may be given without a list. */
export const entryPlace = (list: readonly unknown[], position: number): ErrorPlace =>
  list.length > 1 ? [position] : []

const changed = ({ message, hint, cause, code, context, parameter, place }: UserError, changes: UserErrorOptions) =>
  new UserError(message, { hint, cause, code, context, parameter, place, ...changes })

/** The work was stopped on request. What was done is saved, and the hint says how to continue. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted'
  readonly hint?: string

  constructor(message: string, { hint }: { hint?: string | undefined } = {}) {
    super(message)
    if (hint !== undefined) this.hint = hint
  }
}
