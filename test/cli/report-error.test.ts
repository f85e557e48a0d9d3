import { describe, expect, it } from 'vitest'
import { tellFailure } from '../../src/cli/report-error.ts'
import type { Terminal } from '../../src/cli/terminal/terminal.ts'
import { Interrupted, UserError } from '../../src/platform/errors.ts'

/** The exit code and what was said. */
function told(error: unknown): [code: number, said: string] {
  const lines: string[] = []
  const terminal = {
    note: (line) => lines.push(line),
    error: (line) => lines.push(`error: ${line}`),
  } as Partial<Terminal>
  return [tellFailure(error, terminal as Terminal), lines.join('\n')]
}

const systemError = (code: string, message: string) => Object.assign(new Error(message), { code })

describe('a failure', () => {
  it('that the person can correct is a sentence, a hint and the last lines of its cause, with exit code 2', () => {
    expect(told(new UserError('a.wav cannot be read'))).toEqual([2, 'error: a.wav cannot be read'])
    const cause = new Error('one\ntwo\n\nthree\nfour')
    expect(told(new UserError('a.wav cannot be read', { hint: 'convert it', cause }))).toEqual([
      2,
      'error: a.wav cannot be read\n  hint: convert it\n  cause: two\n  cause: three\n  cause: four',
    ])
  })

  it('of the disk is told without a stack, with exit code 2', () => {
    expect(told(systemError('ENOSPC', 'ENOSPC: no space left on device, write'))).toEqual([
      2,
      'error: no space left on device, write\n  hint: make room on the disk, or write elsewhere',
    ])
    expect(told(systemError('ENOTDIR', "ENOTDIR: not a directory, mkdir 'a.txt/b'"))[0]).toBe(2)
  })

  it('that is an interruption says how to go on, with exit code 130', () => {
    expect(told(new Interrupted('stopped after step 7', 'ltx-a2a train --resume run'))).toEqual([
      130,
      'stopped after step 7\n  go on: ltx-a2a train --resume run',
    ])
    expect(told(new Interrupted('stopped'))).toEqual([130, 'stopped'])
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
    const [code, text] = told(error)
    expect(code).toBe(1)
    expect(text).toMatch(said)
    expect(text).toMatch(/This is a bug in ltx-a2a \d+\.\d+\.\d+, not something you did\.$/)
  })
})
