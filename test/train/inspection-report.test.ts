import { expect, test } from 'vitest'
import type { Dataset } from '../../src/dataset/dataset.ts'
import { createReporter, type ProgressEvent } from '../../src/platform/progress.ts'
import { reportInspection } from '../../src/train/inspection-report.ts'

function report(problems: Dataset['problems'], findings: ['warning' | 'hint', string][]) {
  const events: ProgressEvent[] = []
  const advice: Dataset['advice'] = {
    buckets: [],
    recommendedSeconds: null,
    agreement: null,
    findings: findings.map(([severity, what]) => ({
      kind: 'x',
      severity,
      what,
      hint: 'do it',
      pairs: [{ name: 'a' }],
    })),
  }
  reportInspection({ problems, advice }, createReporter({ onEvent: (event) => void events.push(event) }))
  return events
}

test('a training shows all problems with their severity, all findings that are warnings, and the number of hints', () => {
  const problems: Dataset['problems'] = [
    { severity: 'error', message: 'thrown by assertTrainable' },
    { severity: 'warning', message: 'a_end.wav is silent in the part that is used', hint: 'leave it out' },
    { severity: 'hint', message: 'only 5 pairs' },
    { severity: 'hint', message: '4 pairs have no caption', hint: 'write one' },
  ]
  const findings: ['warning' | 'hint', string][] = [
    ['warning', 'Out of sync'],
    ['hint', 'DC offset'],
    ['hint', 'One channel is silent'],
  ]
  expect(report(problems, findings)).toEqual([
    { type: 'warning', message: 'a_end.wav is silent in the part that is used', hint: 'leave it out' },
    { type: 'info', message: 'hint: only 5 pairs' },
    { type: 'info', message: 'hint: 4 pairs have no caption (write one)' },
    { type: 'warning', message: 'Out of sync, 1 pair: a', hint: 'do it' },
    { type: 'info', message: 'ltx-a2a inspect-dataset shows 2 more hints on this dataset' },
  ])
})

test('a training that has no more hints to show mentions none', () => expect(report([], [])).toEqual([]))
