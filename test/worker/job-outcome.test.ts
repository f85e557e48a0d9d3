/** Errors of a job, as the queue API has them. */
import { expect, it } from 'vitest'
import { UserError } from '../../src/platform/errors.ts'
import { errorOf, preparationError } from '../../src/worker/job-outcome.ts'

const exit = { code: 2, signal: null }
const shown = (text: string) => text.replaceAll('/srv/data/', '')

it('a mistake in the input is a 422 with the place of the parameter, its type and its numbers', () => {
  const mistake = {
    parameter: 'validation',
    place: [1, 'reference_audio_url'],
    code: 'audio_duration_too_short',
  } as const
  const detail = {
    loc: ['body', 'validation', 1, 'reference_audio_url'],
    msg: 'a.wav has only 0.050 s',
    type: 'audio_duration_too_short',
    ctx: { min_duration: 0.2 },
  }
  const context = { min_duration: 0.2 }
  const message = '/srv/data/a.wav has only 0.050 s'
  expect(errorOf(exit, { message, context, ...mistake }, { shown })).toEqual({ status: 422, detail: [detail] })
  const { msg } = detail
  expect(preparationError(new UserError(msg, { context, ...mistake }))).toEqual({ status: 422, detail: [detail] })
})

it('a mistake of no parameter is of the whole body', () => {
  const expected = { status: 422, detail: [{ loc: ['body'], msg: 'm', type: 'value_error' }] }
  expect(errorOf(exit, { message: 'm' }, { shown })).toEqual(expected)
  expect(preparationError(new UserError('m'))).toEqual(expected)
})

it('what is the fault of the machine, or of the tool, is an internal error', () => {
  const expected = { status: 500, detail: 'm', type: 'internal_error' }
  expect(errorOf(exit, { message: 'm\nmore', code: 'machine_error' }, { shown })).toEqual(expected)
  expect(errorOf({ code: 1, signal: null }, { message: 'm', parameter: 'rank' }, { shown })).toEqual(expected)
  expect(preparationError(new UserError('m', { code: 'machine_error' }))).toEqual(expected)
  expect(preparationError(new Error('m'))).toEqual(expected)
})
