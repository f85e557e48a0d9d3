import { describe, expect, it } from 'vitest'
import { UserError, withCode, withParameter } from '../../src/platform/errors.ts'

const thrown = (work: () => unknown) => {
  try {
    work()
  } catch (error) {
    return error
  }
}
const refuse = (error: unknown) => () => {
  throw error
}

describe('withParameter', () => {
  it('names the parameter, and keeps everything else of the error', () => {
    const details = { hint: 'h', cause: 'c', code: 'invalid_archive', context: { min_duration: 1 } } as const
    const error = thrown(() => withParameter('inputs', refuse(new UserError('m', details)), [1]))
    expect(error).toBeInstanceOf(UserError)
    expect(error).toMatchObject({ message: 'm', ...details, parameter: 'inputs', place: [1] })
  })

  it('does so for work that is asynchronous', async () => {
    const work = withParameter('inputs', async () => Promise.reject(new UserError('m')))
    await expect(work).rejects.toMatchObject({ parameter: 'inputs' })
    await expect(withParameter('inputs', async () => 7)).resolves.toBe(7)
  })

  it('keeps the parameter and the place that are named already', () => {
    const named = new UserError('m', { parameter: 'validation', place: [0] })
    expect(thrown(() => withParameter('inputs', refuse(named), [1]))).toBe(named)
  })

  it.each([new UserError('m', { code: 'machine_error' }), new Error('m'), 'm'])(
    'leaves what no parameter can change: %s',
    (error) => expect(thrown(() => withParameter('inputs', refuse(error)))).toBe(error),
  )
})

it('withCode keeps the parameter and its place', () => {
  const error = new UserError('m', { parameter: 'validation', place: [0, 'prompt'] })
  expect(withCode(error, 'invalid_archive')).toMatchObject({
    code: 'invalid_archive',
    parameter: 'validation',
    place: [0, 'prompt'],
  })
})
