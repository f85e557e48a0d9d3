/** Something the person at the keyboard can change: one sentence with the concrete name and number, and what to do about it. */
export class UserError extends Error {
  override readonly name = 'UserError'
  readonly hint?: string

  constructor(message: string, { hint, cause }: { hint?: string; cause?: unknown } = {}) {
    super(message, { cause })
    if (hint !== undefined) this.hint = hint
  }
}

/** The person asked to stop: what was done is saved, and the hint says how to go on. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted'
  readonly hint?: string

  /** @param exitCode 130 for Ctrl-C, 143 for SIGTERM, as shells count. */
  constructor(
    message: string,
    hint?: string,
    readonly exitCode: 130 | 143 = 130,
  ) {
    super(message)
    if (hint !== undefined) this.hint = hint
  }
}
