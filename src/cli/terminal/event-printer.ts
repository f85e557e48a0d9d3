/** The events of the library as text on the terminal, or as JSON lines. */
import type { ApplyEvent, RecordingEvent } from '../../apply/apply.ts'
import { durationOf, type Waveform } from '../../audio/waveform.ts'
import { requirementLines, stageValues } from '../../train/event-text.ts'
import type { TrainEvent } from '../../train/events.ts'
import type { Output, Stage, Terminal, TerminalStream } from './terminal.ts'

/** A listener that shows stages as progress bars, and messages as lines. */
export function createEventPrinter(terminal: Terminal): (event: TrainEvent | ApplyEvent) => void {
  const stages = new Map<string, Stage>()
  return (event) => {
    switch (event.type) {
      case 'info':
        return terminal.info(event.message)
      case 'warning':
        return terminal.warn(event.hint === undefined ? event.message : `${event.message} (${event.hint})`)
      case 'recording':
        return printRecording(event, terminal)
      case 'requirements':
        for (const line of requirementLines(event.requirements, event.resources)) terminal.info(line)
        return
      case 'stage': {
        const { stage: label, status, position, total = 0, unit, values = {}, summary } = event
        const stage = stages.get(label) ?? terminal.stage(label, total, unit)
        stages.set(label, stage)
        if (status === 'running') stage.update(position, stageValues(values))
        if (status === 'finished') {
          stage.finish(summary)
          stages.delete(label)
        }
      }
    }
  }
}

function printRecording({ status, input, output, message = '', hint }: RecordingEvent, terminal: Terminal) {
  if (status === 'failed') terminal.warn(hint === undefined ? message : `${message} (${hint})`)
  if (status === 'kept') terminal.info(`${input}: ${output} is finished already`)
}

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
    onEvent: (event: TrainEvent | ApplyEvent) => {
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
