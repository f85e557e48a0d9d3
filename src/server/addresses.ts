/** Where requests come from, and rates for each of these addresses. */
import { isIPv4, isIPv6 } from 'node:net'
import type { Context } from 'hono'
import { createRateLimit, type Rate } from './security.ts'

/** More addresses are forgotten, the one that was seen least recently first. */
const mostAddresses = 10_000

/**
 * A limit for each address, so that nobody is shut out by the requests of others.
 * @param isProxied whether a proxy says in `X-Forwarded-For` where a request is from. Anybody could say so where there is none.
 */
export function createAddressLimit(limit: Rate, { isProxied = false, now = Date.now } = {}) {
  const limits = new Map<string, ReturnType<typeof createRateLimit>>()
  return (c: Context, passing: 0 | 1 = 1): number => {
    const address = networkOf(addressOf(c, isProxied))
    const known = limits.get(address)
    if (!known && passing === 0) return 0
    const seconds = known ?? createRateLimit(limit, now)
    limits.delete(address)
    limits.set(address, seconds)
    const [oldest] = limits.keys()
    if (limits.size > mostAddresses && oldest !== undefined) limits.delete(oldest)
    return seconds(passing)
  }
}

/** The last address is the one that the proxy has seen; those before it are what the client has sent. */
function addressOf(c: Context, isProxied: boolean): string {
  const forwarded = isProxied ? c.req.header('x-forwarded-for')?.split(',').at(-1)?.trim() : undefined
  return forwarded || (c.env?.incoming?.socket?.remoteAddress ?? '')
}

/** IPv6 gives every client a network of 64 bits, all of whose addresses it can use. */
export function networkOf(address: string): string {
  const mapped = address.replace(/^::ffff:/i, '')
  if (isIPv4(mapped) || !isIPv6(address)) return mapped
  const [head = '', tail] = (address.split('%')[0] ?? '').toLowerCase().split('::')
  const groups = (text = '') => (text === '' ? [] : text.split(':'))
  const [before, after] = [groups(head), groups(tail)]
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - before.length - after.length)
  const all = [...before, ...Array<string>(zeros).fill('0'), ...after]
  return all
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')
}
