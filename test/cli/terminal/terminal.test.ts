import { PassThrough } from 'node:stream'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createTerminal, type TerminalStream } from '../../../src/cli/terminal/terminal.ts'

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout', 'Date'] }))
afterEach(() => void vi.useRealTimers())

/** A stream that records its text, optionally as a terminal. */
function stream(isTTY: boolean): TerminalStream & { text(): string } {
  const chunks: string[] = []
  const through = new PassThrough()
  through.write = (chunk: unknown) => chunks.push(String(chunk)) > 0
  return Object.assign(through, { isTTY, columns: 80, text: () => chunks.join('') })
}

function open({
  tty = false,
  env = {},
  quiet = false,
}: {
  tty?: boolean
  env?: Record<string, string>
  quiet?: boolean
} = {}) {
  const [stdout, stderr] = [stream(tty), stream(tty)]
  return { stdout, stderr, terminal: createTerminal({ stdout, stderr, env, quiet }) }
}

const esc = '\u001B'
const tokens = new RegExp(`${esc}\\[\\??(\\d*)([A-Za-z])|${esc}[78]|[\\s\\S]`, 'g')

/** The screen after these characters; emulates the escape sequences that the progress bar uses. */
function screen(text: string): string[] {
  const rows: string[] = ['']
  let [row, column, saved] = [0, 0, { row: 0, column: 0 }]
  for (const [token, number, letter] of text.matchAll(tokens)) {
    if (token === `${esc}7`) saved = { row, column }
    else if (token === `${esc}8`) ({ row, column } = saved)
    else if (letter === 'K') rows[row] = number === '2' ? '' : (rows[row] ?? '').slice(0, column)
    else if (letter === 'G') column = Number(number || 1) - 1
    else if (token === '\n') [row, column] = [row + 1, 0]
    else if (!letter) {
      const line = (rows[row] ?? '').padEnd(column)
      rows[row] = line.slice(0, column) + token + line.slice(column + 1)
      column++
    }
  }
  return Array.from(rows, (line) => (line ?? '').trimEnd())
}

describe('output to a stream that is not a terminal:', () => {
  it('the result is printed to stdout and messages to stderr, as plain lines', () => {
    const { terminal, stdout, stderr } = open()
    terminal.info('a note')
    terminal.warn('careful')
    terminal.result('table')
    terminal.result('{}\n')
    terminal.error('it broke')
    expect(stdout.text()).toBe('table\n{}\n')
    expect(stderr.text()).toBe('a note\nwarning: careful\nerror: it broke\n')
  })

  it('a stage prints a line per tenth of its length, at most once a second and at least every ten seconds', () => {
    const { terminal, stderr } = open()
    const stage = terminal.stage('Training', 1000, 'steps')
    for (let step = 1; step <= 100; step++) {
      vi.advanceTimersByTime(300)
      stage.update(step, { loss: 0.5 })
    }
    for (let step = 200; step <= 1000; step += 100) {
      vi.advanceTimersByTime(400)
      stage.update(step)
    }
    stage.finish('1000 steps, loss 0.5')
    const lines = stderr.text().trimEnd().split('\n')
    expect(lines.map((line) => line.match(/^Training: (\d+)\//)?.[1] ?? line)).toEqual([
      '34',
      '68',
      '100',
      '400',
      '700',
      '1000',
      'Training: 1000 steps, loss 0.5',
    ])
    expect(lines[0]).toMatch(/^Training: 34\/1000 steps · \d\.\d steps\/s · .* left · loss 0\.5$/)
  })

  it('a short stage prints one line', () => {
    const { terminal, stderr } = open()
    const stage = terminal.stage('Measuring', 3, 'pairs')
    for (const done of [1, 2, 3]) stage.update(done)
    stage.finish('3 pairs')
    expect(stderr.text()).toBe('Measuring: 3 pairs\n')
  })

  it('control characters are removed from messages', () => {
    const { terminal, stderr } = open()
    terminal.warn(`a${esc}[2Jb\u0007c\r\u009Bd\n  e\tf`)
    expect(stderr.text()).toBe('warning: a[2Jbcd\n  e\tf\n')
  })
})

describe('output to a terminal:', () => {
  it('a stage updates a single line and leaves one line when it is finished', () => {
    const { terminal, stderr } = open({ tty: true })
    const stage = terminal.stage('Training', 4, 'steps')
    vi.advanceTimersByTime(1000)
    stage.update(1, { loss: 0.5 })
    vi.advanceTimersByTime(1000)
    stage.update(2, { loss: 0.4 })
    vi.advanceTimersByTime(1000)
    expect(screen(stderr.text())).toEqual([
      'Training ██████████░░░░░░░░░░ 2/4 steps · 1.0 steps/s · 2 s left · loss 0.4',
    ])
    stage.finish('4 steps')
    expect(screen(stderr.text())).toEqual(['Training: 4 steps'])
  })

  it('messages are printed above the bar and remain after it', () => {
    const { terminal, stderr } = open({ tty: true })
    const stage = terminal.stage('Training', 4, 'steps')
    stage.update(1)
    terminal.info('first')
    terminal.warn('second')
    expect(screen(stderr.text())).toEqual(['first', 'warning: second', 'Training █████░░░░░░░░░░░░░░░ 1/4 steps'])
    stage.finish('4 steps')
    expect(screen(stderr.text())).toEqual(['first', 'warning: second', 'Training: 4 steps'])
  })

  it('a nested stage replaces the outer stage until it is finished', () => {
    const { terminal, stderr } = open({ tty: true })
    const outer = terminal.stage('Training', 4, 'steps')
    outer.update(2)
    const inner = terminal.stage('Preview', 2, 'steps')
    inner.update(1)
    vi.advanceTimersByTime(1000)
    expect(screen(stderr.text())).toEqual(['Preview ██████████░░░░░░░░░░ 1/2 steps'])
    inner.finish('preview.wav')
    vi.advanceTimersByTime(1000)
    expect(screen(stderr.text())).toEqual(['Preview: preview.wav', 'Training ██████████░░░░░░░░░░ 2/4 steps'])
    outer.finish()
    expect(screen(stderr.text())).toEqual(['Preview: preview.wav', 'Training: done'])
  })

  it('an error or closing removes all bars, shows the cursor and stops the timer', () => {
    for (const end of ['error', 'close'] as const) {
      const { terminal, stderr } = open({ tty: true })
      terminal.stage('Training', 4, 'steps').update(1)
      terminal.stage('Preview', 4, 'steps').update(1)
      terminal[end]('it broke')
      expect(screen(stderr.text())).toEqual(end === 'error' ? ['error: it broke'] : [''])
      expect(stderr.text().lastIndexOf(`${esc}[?25h`)).toBeGreaterThan(stderr.text().lastIndexOf(`${esc}[?25l`))
      expect(vi.getTimerCount()).toBe(0)
    }
  })

  it('messages are colored unless NO_COLOR is set', () => {
    const colored = open({ tty: true })
    colored.terminal.warn('careful')
    expect(colored.stderr.text()).toBe(`${esc}[33mwarning: ${esc}[39mcareful\n`)
    expect(colored.terminal.resultStyle).toEqual({ color: true, columns: 80 })
    const plain = open({ tty: true, env: { NO_COLOR: '1' } })
    plain.terminal.warn('careful')
    expect(plain.stderr.text()).toBe('warning: careful\n')
    expect(plain.terminal.resultStyle).toEqual({ color: false, columns: 80 })
  })

  it('colors are not used in a pipe, unless FORCE_COLOR is set', () => {
    const colorOf = (tty: boolean, env: Record<string, string>) => open({ tty, env }).terminal.resultStyle.color
    expect(colorOf(false, {})).toBe(false)
    expect(colorOf(false, { FORCE_COLOR: '1' })).toBe(true)
    expect(colorOf(false, { FORCE_COLOR: '1', NO_COLOR: '1' })).toBe(true)
    expect(colorOf(true, { FORCE_COLOR: '0' })).toBe(false)
    const { terminal, stderr } = open({ env: { FORCE_COLOR: '1' } })
    terminal.warn('careful')
    expect(stderr.text()).toBe(`${esc}[33mwarning: ${esc}[39mcareful\n`)
  })

  it('progress bars and colors are not used when TERM is dumb', () => {
    const { terminal, stderr } = open({ tty: true, env: { TERM: 'dumb' } })
    terminal.stage('Training', 4, 'steps').finish('4 steps')
    expect(stderr.text()).toBe('Training: 4 steps\n')
  })
})

describe('quiet mode', () => {
  it.each([true, false])('prints only errors and the result (on a terminal: %s)', (tty) => {
    const { terminal, stdout, stderr } = open({ tty, quiet: true, env: { NO_COLOR: '1' } })
    terminal.info('a note')
    terminal.warn('careful')
    const stage = terminal.stage('Training', 1, 'steps')
    vi.advanceTimersByTime(60_000)
    stage.update(1)
    stage.finish('1 step')
    terminal.result('table')
    terminal.error('it broke')
    expect([stdout.text(), stderr.text()]).toEqual(['table\n', 'error: it broke\n'])
  })
})
