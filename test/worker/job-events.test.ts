/** What a job prints, as the log of its request. */
import { expect, it } from 'vitest'
import type { LogLine, RequestProgress } from '../../src/queue/request.ts'
import { createJobEvents } from '../../src/worker/job-events.ts'

function read(lines: readonly string[], isCut = false) {
  const log: Pick<LogLine, 'message' | 'level'>[] = []
  const steps: RequestProgress[] = []
  const events = createJobEvents({
    log: {
      add: (message, level = 'INFO') => void log.push({ message, level }),
      progress: (progress) => void steps.push(progress),
    },
    shown: (text) => text.replaceAll('/srv/data/', ''),
    isQuiet: () => false,
    onCheckpoint: () => {},
  })
  for (const line of lines) events.readLine(line, isCut)
  return { log, steps, step: events.step(), error: events.error() }
}

it('lines of native libraries are in the log as they are, and the events around them are read', () => {
  const native = [
    '2026-05-01 10:00:00.1: I tensorflow/core/platform/cpu_feature_guard.cc:193] This binary is optimized  with oneDNN',
    '[libwav @ 0x55d1] Estimating duration',
    '{ not an event }',
    '{"level":"warn"}',
    '"text"',
    'null',
  ]
  const { log, step, error } = read([
    '{"type":"step","step":7}',
    ...native,
    '   ',
    'cannot open /srv/data/libfoo.so\r',
    '{"type":"warning","message":"few pairs"}',
    '{"type":"error","message":"the disk is full","code":"machine_error"}',
  ])
  expect(log).toEqual([
    ...[...native, 'cannot open libfoo.so'].map((message) => ({ message, level: 'STDOUT' })),
    { message: 'few pairs', level: 'WARN' },
    { message: 'the disk is full', level: 'ERROR' },
  ])
  expect(step).toBe(7)
  expect(error).toMatchObject({ code: 'machine_error' })
})

it('whatever is done now, progress has the last step of the training and its loss', () => {
  const { steps } = read([
    '{"type":"stage","status":"running","unit":"step","stage":"Encoding","position":1,"total":2}',
    '{"type":"stage","status":"running","unit":"step","stage":"Training","position":7,"total":20,"values":{"loss":0.5}}',
    '{"type":"step","step":7}',
    '{"type":"stage","status":"running","unit":"step","stage":"Previews","position":1,"total":2}',
  ])
  expect(steps).toEqual([
    { stage: 'Encoding', done: 1, total: 2 },
    { stage: 'Training', done: 7, total: 20, step: 7, loss: 0.5 },
    { stage: 'Previews', done: 1, total: 2, step: 7, loss: 0.5 },
  ])
})

it('a long event that is not shown is left out where it is cut', () => {
  expect(read(['{"type":"dataset","pairs":[{"na'], true).log).toEqual([])
})
