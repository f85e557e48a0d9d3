import { describe, expect, it } from 'vitest'
import { reportError } from '../../src/cli/run-command.ts'
import type { Output } from '../../src/cli/terminal/terminal.ts'
import { Interrupted, UserError } from '../../src/platform/errors.ts'

/** The exit code and the printed text. */
function report(error: unknown, stopExitCode?: 130 | 143): [code: number, printed: string] {
  const lines: string[] = []
  const output: Pick<Output, 'info' | 'error'> = {
    info: (line) => lines.push(line),
    error: (line, { hint, causes = [] } = {}) => {
      lines.push(
        `error: ${line}`,
        ...(hint === undefined ? [] : [`hint: ${hint}`]),
        ...causes.map((cause) => `cause: ${cause}`),
      )
    },
  }
  return [reportError(error, output, stopExitCode), lines.join('\n')]
}

const systemError = (code: string, message: string) => Object.assign(new Error(message), { code })

describe('reportError', () => {
  it('prints the message, hint and last lines of the cause of a UserError, with exit code 2', () => {
    expect(report(new UserError('a.wav cannot be read'))).toEqual([2, 'error: a.wav cannot be read'])
    const cause = new Error('one\ntwo\n\nthree\nfour')
    expect(report(new UserError('a.wav cannot be read', { hint: 'convert it', cause }))).toEqual([
      2,
      'error: a.wav cannot be read\nhint: convert it\ncause: two\ncause: three\ncause: four',
    ])
  })

  it('prints a file system error without a stack trace, with exit code 2', () => {
    expect(report(systemError('ENOSPC', 'ENOSPC: no space left on device, write'))).toEqual([
      2,
      'error: no space left on device, write\nhint: make room on the disk, or write elsewhere',
    ])
    expect(report(systemError('ENOTDIR', "ENOTDIR: not a directory, mkdir 'a.txt/b'"))[0]).toBe(2)
  })

  it('prints how to continue after an interruption, with the exit code of the signal', () => {
    expect(report(new Interrupted('stopped after step 7', { hint: 'ltx-a2a train --resume run' }))).toEqual([
      130,
      'stopped after step 7\n  to continue: ltx-a2a train --resume run',
    ])
    expect(report(new Interrupted('stopped'), 143)).toEqual([143, 'stopped'])
  })

  it.each<[string, unknown, RegExp]>([
    ['a TypeError', new TypeError('x is not a function'), /^error: TypeError: x is not a function\n {4}at /],
    [
      'an unexpected ENOENT',
      systemError('ENOENT', 'ENOENT: no such file'),
      /^error: Error: ENOENT: no such file\n {4}at /,
    ],
    ['an error with an unknown code', systemError('toString', 'odd'), /^error: Error: odd\n {4}at /],
    ['a value that is not an Error', 'boom', /^error: boom\n/],
  ])('prints %s as a bug with its stack trace, with exit code 1', (_, error, expected) => {
    const [code, text] = report(error)
    expect(code).toBe(1)
    expect(text).toMatch(expected)
    expect(text).toMatch(/This is a bug in ltx-a2a \d+\.\d+\.\d+, not something you did\.$/)
  })
})
