import { describe, expect, it } from 'vitest'
import { reportError } from '../../src/cli/run-command.ts'
import type { Output } from '../../src/cli/terminal/terminal.ts'
import { Interrupted, UserError } from '../../src/platform/errors.ts'

/** The exit code and what was printed. */
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

describe('a failure', () => {
  it('that the person can correct is a sentence, a hint and the last lines of its cause, with exit code 2', () => {
    expect(report(new UserError('a.wav cannot be read'))).toEqual([2, 'error: a.wav cannot be read'])
    const cause = new Error('one\ntwo\n\nthree\nfour')
    expect(report(new UserError('a.wav cannot be read', { hint: 'convert it', cause }))).toEqual([
      2,
      'error: a.wav cannot be read\nhint: convert it\ncause: two\ncause: three\ncause: four',
    ])
  })

  it('of the disk is told without a stack, with exit code 2', () => {
    expect(report(systemError('ENOSPC', 'ENOSPC: no space left on device, write'))).toEqual([
      2,
      'error: no space left on device, write\nhint: make room on the disk, or write elsewhere',
    ])
    expect(report(systemError('ENOTDIR', "ENOTDIR: not a directory, mkdir 'a.txt/b'"))[0]).toBe(2)
  })

  it('that is an interruption says how to continue, with the exit code of the signal', () => {
    expect(report(new Interrupted('stopped after step 7', { hint: 'ltx-a2a train --resume run' }))).toEqual([
      130,
      'stopped after step 7\n  to continue: ltx-a2a train --resume run',
    ])
    expect(report(new Interrupted('stopped'), 143)).toEqual([143, 'stopped'])
  })

  it.each<[string, unknown, RegExp]>([
    ['of a wrong type', new TypeError('x is not a function'), /^error: TypeError: x is not a function\n {4}at /],
    [
      'of a file that should be there',
      systemError('ENOENT', 'ENOENT: no such file'),
      /^error: Error: ENOENT: no such file\n {4}at /,
    ],
    ['of a strange code', systemError('toString', 'odd'), /^error: Error: odd\n {4}at /],
    ['that is no error at all', 'boom', /^error: boom\n/],
  ])('%s is our bug, with its stack and exit code 1', (_, error, said) => {
    const [code, text] = report(error)
    expect(code).toBe(1)
    expect(text).toMatch(said)
    expect(text).toMatch(/This is a bug in ltx-a2a \d+\.\d+\.\d+, not something you did\.$/)
  })
})
