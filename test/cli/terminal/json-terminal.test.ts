import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { createJsonTerminal } from '../../../src/cli/terminal/json-terminal.ts'

function open(quiet = false) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const text = (stream: PassThrough) => String(stream.read() ?? '')
  return {
    terminal: createJsonTerminal({ stdout, stderr, quiet }),
    lines: () =>
      text(stderr)
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line)),
    result: () => text(stdout),
  }
}

test('every message is an object of its own, whatever is in it', () => {
  const { terminal, lines, result } = open()
  terminal.note('a "note"\nof two lines')
  terminal.warn('careful')
  terminal.error('no')
  terminal.result('the result')
  expect(lines()).toEqual([
    { event: 'note', message: 'a "note"\nof two lines' },
    { event: 'warning', message: 'careful' },
    { event: 'error', message: 'no' },
  ])
  expect(result()).toBe('the result\n')
})

test('progress comes with numbers, not too often, and always at the end', () => {
  const { terminal, lines } = open()
  const stage = terminal.stage('Training', 1000, 'steps')
  for (let step = 1; step <= 1000; step++) stage.update(step, { loss: '0.4312', memory: '1.20 GB' })
  stage.done('1000 steps')
  const [first, ...others] = lines()
  expect(first).toEqual({
    event: 'progress',
    stage: 'Training',
    position: 1,
    total: 1000,
    unit: 'steps',
    loss: 0.4312,
    memory: '1.20 GB',
  })
  expect(others.length).toBeLessThan(10)
  expect(others.at(-2)).toMatchObject({ position: 1000, secondsLeft: 0, rate: expect.any(Number) })
  expect(others.at(-1)).toEqual({ event: 'done', stage: 'Training', message: '1000 steps' })
})

test('where nobody knows how much it will be, there is no end to wait for', () => {
  const { terminal, lines } = open()
  terminal.stage('Measuring', 0, 'pairs').update(3)
  expect(lines()).toEqual([{ event: 'progress', stage: 'Measuring', position: 3, total: null, unit: 'pairs' }])
})

test('quiet leaves errors', () => {
  const { terminal, lines } = open(true)
  terminal.note('a')
  terminal.stage('b', 1, 'c').done()
  terminal.error('d')
  expect(lines()).toEqual([{ event: 'error', message: 'd' }])
})
