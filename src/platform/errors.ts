/** A mistake that the user can correct: one sentence with the concrete name and number, and a hint that says what to do. */
export class UserError extends Error {
  override readonly name = 'UserError'
  readonly hint?: string

  constructor(message: string, { hint, cause }: { hint?: string | undefined; cause?: unknown } = {}) {
    super(message, { cause })
    if (hint !== undefined) this.hint = hint
  }
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
