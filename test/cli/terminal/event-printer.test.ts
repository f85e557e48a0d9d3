import { tmpdir } from 'node:os'
import { describe, expect, it } from 'vitest'
import { createEventPrinter } from '../../../src/cli/terminal/event-printer.ts'
import type { Terminal } from '../../../src/cli/terminal/terminal.ts'
import { requirementLines } from '../../../src/train/event-text.ts'
import type { TrainEvent } from '../../../src/train/events.ts'
import type { MachineResources } from '../../../src/train/requirements.ts'

/** The calls of the terminal for the given events, one line each. */
function print(...events: TrainEvent[]): string[] {
  const lines: string[] = []
  const terminal: Partial<Terminal> = {
    info: (line) => lines.push(line),
    warn: (line) => lines.push(`warning: ${line}`),
    stage: (label, total, unit) => {
      lines.push(`${label}: 0/${total} ${unit}`)
      return {
        update: (position, values) => lines.push(`${label}: ${position} ${JSON.stringify(values)}`),
        finish: (summary) => lines.push(`${label}: ${summary}`),
      }
    },
  }
  events.forEach(createEventPrinter(terminal as Terminal))
  return lines
}

const requirements = {
  ...{ weights: 3e6, trained: 9e5, step: 9e7, captions: 0, memory: 344e6 },
  ...{ run: 2.9e6, cache: 5.6e6, temporary: 0 },
}
const resources: MachineResources = {
  ...{ place: 'this machine', memory: 64e9, freeMemory: 32e9, runDisk: 1e12, cacheDisk: 5e11 },
}

describe('the terminal shows', () => {
  it('messages as lines, and warnings with their hint', () => {
    expect(
      print(
        { type: 'info', message: 'Base: small' },
        { type: 'warning', message: 'too loud' },
        { type: 'warning', message: 'two pairs are short', hint: 'record more' },
      ),
    ).toEqual(['Base: small', 'warning: too loud', 'warning: two pairs are short (record more)'])
  })

  it('stages with their values, including nested stages', () => {
    const training = { type: 'stage', stage: 'Training', total: 8, unit: 'steps' } as const
    const preview = { type: 'stage', stage: 'Preview 1 at step 4', total: 2, unit: 'steps' } as const
    const values = { loss: 3.12345, secondsPerStep: 0.304, memoryBytes: 331e6 }
    expect(
      print(
        { ...training, status: 'started', position: 0 },
        { ...training, status: 'running', position: 4, values },
        { ...preview, status: 'started', position: 0 },
        { ...preview, status: 'finished', position: 2, summary: 'a.wav' },
        { ...training, status: 'running', position: 5 },
        { ...training, status: 'finished', position: 8, summary: '8 steps' },
      ),
    ).toEqual([
      'Training: 0/8 steps',
      'Training: 4 {"loss":"3.1235","s/step":"0.30","memory":"0.33 GB"}',
      'Preview 1 at step 4: 0/2 steps',
      'Preview 1 at step 4: a.wav',
      'Training: 5 {}',
      'Training: 8 steps',
    ])
  })

  it('the held-out loss beside the loss', () => {
    const training = { type: 'stage', stage: 'Training', total: 8, unit: 'steps' } as const
    const values = { loss: 3.12345, heldOutLoss: 0.41236 }
    expect(
      print(
        { ...training, status: 'started', position: 0 },
        { ...training, status: 'running', position: 4, values },
      ).at(-1),
    ).toBe('Training: 4 {"loss":"3.1235","held-out":"0.4124"}')
    expect(
      print(
        { ...training, status: 'started', position: 0 },
        { ...training, status: 'running', position: 4, values: { ...values, emaHeldOutLoss: 0.39871 } },
      ).at(-1),
    ).toBe('Training: 4 {"loss":"3.1235","held-out (LoRA)":"0.4124","held-out (average)":"0.3987"}')
  })

  it('the requirements of a run in two lines', () => {
    expect(print({ type: 'requirements', requirements, resources })).toEqual([
      'Memory: about 344 MB of 32.00 GB (weights 3.0 MB, LoRA and optimizer 900 kB, a step 90 MB)',
      'Disk: about 2.9 MB for the run, 5.6 MB for the cache, of 500.00 GB',
    ])
    const [, disk] = requirementLines({ ...requirements, temporary: 1.2e9 }, resources)
    expect(disk).toBe(
      `Disk: about 2.9 MB for the run, 5.6 MB for the cache, of 500.00 GB; 1.20 GB of temporary files in ${tmpdir()}`,
    )
  })

  it('the memory for captions still to be encoded, and graphics memory when training on a graphics card', () => {
    const [memory] = requirementLines({ ...requirements, captions: 4e5 }, { ...resources, place: 'the graphics card' })
    expect(memory).toMatch(/^Graphics memory: about .* \(encoding captions 400 kB, then weights 3\.0 MB,/)
  })

  it('nothing for events that are only meant for programs', () => {
    expect(print({ type: 'evaluation', step: 0, fixedLoss: 1 })).toEqual([])
  })
})
