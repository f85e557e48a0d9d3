import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { createJsonOutput } from '../../../src/cli/terminal/event-printer.ts'
import type { TrainEvent } from '../../../src/train/events.ts'
import type { RunFolder } from '../../../src/train/run-folder.ts'

function open(quiet = false) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const text = (stream: PassThrough) => String(stream.read() ?? '')
  return {
    output: createJsonOutput({ stdout, stderr, quiet }),
    lines: () =>
      text(stderr)
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line)),
    result: () => text(stdout),
  }
}

test('each message is printed as one JSON object, including quotes and line breaks', () => {
  const { output, lines, result } = open()
  output.info('a "note"\nof two lines')
  output.warn('careful')
  output.error('no', { hint: 'try again', causes: ['the disk'] })
  output.result('the result')
  expect(lines()).toEqual([
    { type: 'info', message: 'a "note"\nof two lines' },
    { type: 'warning', message: 'careful' },
    { type: 'error', message: 'no', hint: 'try again', causes: ['the disk'] },
  ])
  expect(result()).toBe('the result\n')
})

test('events are printed unchanged', () => {
  const { output, lines } = open()
  const events: TrainEvent[] = [
    { type: 'warning', message: 'short', hint: 'record more' },
    { type: 'stage', stage: 'Training', status: 'started', position: 0, total: 2, unit: 'steps' },
    { type: 'evaluation', step: 0, fixedLoss: 1.5 },
    { type: 'checkpoint', step: 2, statePath: 'run/state.safetensors', loraPath: 'run/lora.safetensors' },
    { type: 'stage', stage: 'Training', status: 'finished', position: 2, total: 2, unit: 'steps', summary: '2 steps' },
    { type: 'done', state: 'finished', step: 2, steps: 2, folder: { path: 'run' } as RunFolder, seconds: 3 },
  ]
  for (const event of events) output.onEvent(event)
  expect(lines()).toEqual(events)
})

test('a waveform is printed as its sample rate, channel count and duration', () => {
  const { output, lines } = open()
  const waveform = { sampleRate: 8000, channels: [new Float32Array(4000), new Float32Array(4000)] }
  output.onEvent({ type: 'preview', number: 1, step: 4, path: 'run/previews/a.wav', waveform })
  output.onEvent({ type: 'clip', pair: { name: 'a', caption: '', reference: waveform, target: waveform } })
  const printed = { sampleRate: 8000, channelCount: 2, seconds: 0.5 }
  expect(lines()).toEqual([
    { type: 'preview', number: 1, step: 4, path: 'run/previews/a.wav', waveform: printed },
    { type: 'clip', pair: { name: 'a', caption: '', reference: printed, target: printed } },
  ])
})

test('progress of a stage is printed a few times a second and at its end', () => {
  const { output, lines } = open()
  for (let position = 1; position <= 1000; position++)
    output.onEvent({ type: 'stage', stage: 'Training', status: 'running', position, total: 1000, unit: 'steps' })
  const positions = lines().map(({ position }) => position)
  expect(positions[0]).toBe(1)
  expect(positions.length).toBeLessThan(10)
  expect(positions.at(-1)).toBe(1000)
})

test('only errors are printed in quiet mode', () => {
  const { output, lines } = open(true)
  output.info('a')
  output.onEvent({ type: 'evaluation', step: 0, fixedLoss: 1 })
  output.error('d')
  expect(lines()).toEqual([{ type: 'error', message: 'd' }])
})
