/** Events and messages as JSON, one object a line on stderr, for programs that run this one. The result goes to stdout unchanged. */
import { durationOf, type Waveform } from '../../audio/waveform.ts'
import type { TrainEvent } from '../../train/events.ts'
import type { Output, TerminalStream } from './terminal.ts'

/** Milliseconds between two events of a running stage. */
const stageInterval = 200

export type JsonOutputOptions = { stdout: TerminalStream; stderr: TerminalStream; quiet?: boolean }

export function createJsonOutput({ stdout, stderr, quiet = false }: JsonOutputOptions): Output {
  const write = (event: object) => stderr.write(`${JSON.stringify(event, withoutSamples)}\n`)
  const print = quiet ? () => {} : write
  let printedAt = Number.NEGATIVE_INFINITY
  return {
    info: (message) => print({ type: 'info', message }),
    warn: (message) => print({ type: 'warning', message }),
    error: (message, details = {}) => write({ type: 'error', message, ...details }),
    result: (text) => stdout.write(text.endsWith('\n') ? text : `${text}\n`),
    onEvent: (event: TrainEvent) => {
      if (event.type === 'stage' && event.status === 'running') {
        if (performance.now() - printedAt < stageInterval && event.position !== event.total) return
        printedAt = performance.now()
      }
      print(event)
    },
    resultStyle: { color: false },
    close: () => {},
  }
}

/** A waveform is printed as its rate, channels and duration. */
const withoutSamples = (_key: string, value: unknown) =>
  isWaveform(value)
    ? { sampleRate: value.sampleRate, channelCount: value.channels.length, seconds: durationOf(value) }
    : value

const isWaveform = (value: unknown): value is Waveform =>
  typeof value === 'object' &&
  value !== null &&
  'sampleRate' in value &&
  'channels' in value &&
  Array.isArray(value.channels) &&
  value.channels.every((channel) => channel instanceof Float32Array)
