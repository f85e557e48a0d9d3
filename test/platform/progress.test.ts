import { expect, it } from 'vitest'
import { Interrupted } from '../../src/platform/errors.ts'
import { createReporter, type ProgressEvent } from '../../src/platform/progress.ts'

const failing = {
  throws: () => {
    throw new Error('the listener failed')
  },
  rejects: () => Promise.reject(new Error('the listener failed')),
}

it.each(Object.entries(failing))('all events fail after a listener that %s', async (_, onEvent) => {
  const reporter = createReporter<ProgressEvent>({ onEvent })
  reporter.info('an event that is not awaited')
  await expect(reporter.emit({ type: 'info', message: 'second' })).rejects.toThrow('the listener failed')
  await expect(reporter.emit({ type: 'info', message: 'third' })).rejects.toThrow('the listener failed')
})

it('events are awaited and delivered in order', async () => {
  const seen: string[] = []
  const reporter = createReporter<ProgressEvent>({
    onEvent: async (event) => {
      await Promise.resolve()
      if (event.type === 'info') seen.push(event.message)
    },
  })
  reporter.info('first')
  await reporter.emit({ type: 'info', message: 'second' })
  expect(seen).toEqual(['first', 'second'])
})

it('throwIfAborted throws Interrupted after an abort', () => {
  const controller = new AbortController()
  const reporter = createReporter({ signal: controller.signal })
  reporter.throwIfAborted()
  controller.abort()
  expect(() => reporter.throwIfAborted()).toThrow(Interrupted)
})

it.each(Object.entries(failing))('a listener that %s ends work that does not wait for it', async (_, onEvent) => {
  const reporter = createReporter({ onEvent })
  reporter.info('an event that is not awaited')
  await expect(reporter.settled()).rejects.toThrow('the listener failed')
  expect(() => reporter.throwIfAborted()).toThrow('the listener failed')
})

it('a resumed stage starts at its position', () => {
  const positions: number[] = []
  const onEvent = (event: ProgressEvent) => void (event.type === 'stage' && positions.push(event.position))
  const stage = createReporter({ onEvent }).stage('Training', 5, 'steps', 3)
  stage.update(4)
  stage.finish()
  expect(positions).toEqual([3, 4, 5])
})
