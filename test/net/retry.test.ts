import { describe, expect, it } from 'vitest'
import {
  createRetryPolicy,
  maxPause,
  sleepSeconds,
  startIdleTimeout,
  TransientError,
  withRetry,
} from '../../src/net/retry.ts'
import { UserError } from '../../src/platform/errors.ts'

const never = new AbortController().signal

/** A policy that records its pauses instead of waiting. */
function policyWith(pauses: number[], attempts = 6) {
  const sleep = async (seconds: number) => void pauses.push(seconds)
  return createRetryPolicy(never, sleep, { attempts, hint: 'try again later' })
}

describe('retries', () => {
  it('pause for 1, 2, 4, 8 and 16 s before the last failure', async () => {
    const pauses: number[] = []
    const failing = withRetry(policyWith(pauses), async () => {
      throw new TransientError('busy')
    })
    await expect(failing).rejects.toMatchObject({ message: 'busy, 6 times in a row', hint: 'try again later' })
    expect(pauses).toEqual([1, 2, 4, 8, 16])
  })

  it('pause for the requested Retry-After time, up to two minutes', async () => {
    const pauses: number[] = []
    const answers = [30, 86_400, Number.MAX_SAFE_INTEGER]
    const result = await withRetry(policyWith(pauses), async () => {
      const retryAfter = answers.shift()
      if (retryAfter === undefined) return 'done'
      throw new TransientError('busy', { retryAfter })
    })
    expect([result, pauses, maxPause]).toEqual(['done', [30, 120, 120], 120])
  })

  it('start with the first pause again after progress', async () => {
    const pauses: number[] = []
    const policy = policyWith(pauses, 3)
    for (let i = 0; i < 2; i++) await policy.afterFailure(new TransientError('busy'))
    policy.reset()
    for (let i = 0; i < 2; i++) await policy.afterFailure(new TransientError('busy'))
    await expect(policy.afterFailure(new TransientError('busy'))).rejects.toThrow(UserError)
    expect(pauses).toEqual([1, 2, 1, 2])
  })

  it('are limited to transient errors', async () => {
    const pauses: number[] = []
    const failing = withRetry(policyWith(pauses), async () => {
      throw new RangeError('a bug')
    })
    await expect(failing).rejects.toThrow(RangeError)
    expect(pauses).toEqual([])
  })
})

it('an aborted pause rejects with the reason of the signal', async () => {
  const controller = new AbortController()
  const pause = sleepSeconds(60, controller.signal)
  controller.abort(new Error('stopped'))
  await expect(pause).rejects.toThrow('stopped')
})

describe('an idle timeout', () => {
  it('expires only without restarts', async () => {
    const timeout = startIdleTimeout(0.1)
    for (let i = 0; i < 4; i++) {
      await new Promise((resolve) => setTimeout(resolve, 50))
      timeout.restart()
    }
    expect(timeout.hasExpired()).toBe(false)
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect([timeout.hasExpired(), timeout.signal.aborted]).toEqual([true, true])
    timeout.close()
  })

  it('is aborted by the outer signal without expiring', () => {
    const controller = new AbortController()
    const timeout = startIdleTimeout(60, controller.signal)
    controller.abort(new Error('stopped'))
    expect([timeout.hasExpired(), timeout.signal.reason.message]).toEqual([false, 'stopped'])
    timeout.close()
  })
})
