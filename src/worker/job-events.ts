/** The JSON lines of a job as log lines for people, and as its progress. */
import type { RecordingEvent } from '../apply/apply.ts'
import { withoutCommands } from '../platform/client-text.ts'
import type { ErrorCode, ErrorContext, ErrorPlace } from '../platform/errors.ts'
import type { StageEvent } from '../platform/progress.ts'
import { progressText } from '../platform/progress-text.ts'
import { requirementLines, stageValues } from '../train/event-text.ts'
import type { TrainEvent } from '../train/events.ts'
import type { JobLog } from './job-log.ts'

/** The error that a job ended with, as `--json-progress` prints it. */
export type JobError = {
  message: string
  hint?: string
  causes?: readonly string[]
  code?: ErrorCode
  context?: ErrorContext
  parameter?: string
  place?: ErrorPlace
}

export type JobEvents = {
  readLine(line: string, isCut: boolean): void
  /** The last step that was done; 0 before the first. */
  step(): number
  /** The last error. */
  error(): JobError | undefined
}

type JobEvent = TrainEvent | RecordingEvent | ({ type: 'error' } & JobError)

export type JobEventOptions = {
  log: Pick<JobLog, 'add' | 'progress'>
  /** A text as clients may see it. */
  shown: (text: string) => string
  /** Whether messages of the tool are left out: it is being stopped, and speaks to somebody at a terminal. */
  isQuiet: () => boolean
  /** Called when the run has saved its state. */
  onCheckpoint: () => void
}

/** Milliseconds between two lines about a running stage. */
const stageInterval = 1000

export function createJobEvents({ log, shown, isQuiet, onCheckpoint }: JobEventOptions): JobEvents {
  const stages = new Map<string, { start: number; at: number }>()
  let printedAt = Number.NEGATIVE_INFINITY
  let step = 0
  let loss: number | undefined
  let lastError: JobError | undefined

  const addInfo = (message: string) => {
    if (message !== '') log.add(message)
  }
  const withHint = ({ message, hint = '' }: { message: string; hint?: string | undefined }) => {
    const help = withoutCommands(shown(hint))
    return help === '' ? shown(message) : `${shown(message)} (${help})`
  }

  const onStage = ({ stage, status, position, total = 0, unit, values = {}, summary }: StageEvent) => {
    const now = performance.now()
    const first = stages.get(stage) ?? { start: position, at: now }
    stages.set(stage, first)
    loss = values.loss ?? loss
    const trained = stage === 'Training' ? Math.floor(position) : step
    log.progress({
      ...{ stage, done: position, total },
      ...(trained > 0 && { step: trained }),
      ...(loss !== undefined && { loss }),
    })
    if (status === 'finished') {
      stages.delete(stage)
      log.add(`${stage}: ${shown(summary ?? 'done')}`)
    }
    if (status !== 'running' || now - printedAt < stageInterval) return
    printedAt = now
    const progress = { position, total, unit, startPosition: first.start, seconds: (now - first.at) / 1000 }
    log.add(`${stage}: ${progressText({ ...progress, values: stageValues(values) })}`)
  }

  const onEvent = (event: JobEvent) => {
    switch (event.type) {
      case 'info':
        return isQuiet() ? undefined : addInfo(withoutCommands(shown(event.message)))
      case 'warning':
        return log.add(withHint(event), 'WARN')
      case 'error':
        lastError = event
        return log.add(withHint(event), 'ERROR')
      case 'recording':
        return onRecording(event)
      case 'requirements':
        for (const line of requirementLines(event.requirements, event.resources)) log.add(line)
        return
      case 'step':
        step = event.step
        return
      case 'checkpoint':
        step = event.step
        return onCheckpoint()
      case 'stage':
        return onStage(event)
    }
  }

  const onRecording = ({ status, input, output, message = '', hint }: RecordingEvent) => {
    if (status === 'failed') log.add(withHint({ message, hint }), 'WARN')
    if (status === 'kept') log.add(shown(`${input}: ${output} is finished already`))
  }

  return {
    readLine: (line, isCut) => {
      if (isCut && unusedEvent.test(line)) return
      const event = eventOf(line)
      if (event) return onEvent(event)
      if (line.trim() !== '') log.add(shown(line.trimEnd()), 'STDOUT')
    },
    step: () => step,
    error: () => lastError,
  }
}

/** Undefined for a line that is not from the tool: native libraries print to stderr, too. */
function eventOf(line: string): JobEvent | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    const event = JSON.parse(line)
    return typeof event.type === 'string' ? event : undefined
  } catch {
    return undefined
  }
}

/** Events that can be very long, and are not shown. */
const unusedEvent = /^\{"type":"(dataset|run|clip|reconstruction)"/
