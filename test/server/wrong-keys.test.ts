/** Wrong keys are limited for each address. */
import { request } from 'node:http'
import { expect, it } from 'vitest'
import { networkOf } from '../../src/server/addresses.ts'
import { endpoint, serve } from './test-server.ts'

const path = `/${endpoint}/requests/00000000-0000-4000-8000-000000000000/status`

/** @param from an address of this machine. */
function ask(port: number, key: string, from: string, headers: Record<string, string> = {}) {
  return new Promise<{ status?: number | undefined; retryAfter?: string | undefined; body: string }>(
    (resolve, reject) => {
      const options = { port, path, host: '127.0.0.1', localAddress: from, agent: false }
      const sent = request({ ...options, headers: { authorization: `Key ${key}`, ...headers } }, async (response) => {
        let body = ''
        for await (const chunk of response) body += chunk
        resolve({ status: response.statusCode, retryAfter: response.headers['retry-after'], body })
      })
      sent.on('error', reject)
      sent.end()
    },
  )
}

async function guess(port: number, from: string, headers: (i: number) => Record<string, string> = () => ({})) {
  const statuses: (number | undefined)[] = []
  for (let i = 0; i < 12; i++) statuses.push((await ask(port, `wrong-${i}`, from, headers(i))).status)
  return statuses
}

const [refused, waiting] = [Array(10).fill(401), [503, 503]]

it('shut out who tries them, also with the right key then, and nobody else', async () => {
  const { port } = await serve({ key: 'secret' })
  expect(await guess(port, '127.0.0.2')).toEqual([...refused, ...waiting])
  const { status, retryAfter, body } = await ask(port, 'secret', '127.0.0.2')
  expect([status, JSON.parse(body)]).toMatchObject([503, { error_type: 'rate_limited' }])
  expect(Number(retryAfter)).toBeGreaterThan(0)
  expect((await ask(port, 'secret', '127.0.0.3')).status).toBe(404)
})

it('are counted by the address of the connection, whatever the client says, or by what a trusted proxy says', async () => {
  const spoofed = (i: number) => ({ 'x-forwarded-for': `10.0.0.${i}` })
  const { port } = await serve({ key: 'secret' })
  expect(await guess(port, '127.0.0.2', spoofed)).toEqual([...refused, ...waiting])
  const proxied = await serve({ key: 'secret', trustProxy: true })
  const appended = (i: number) => ({ 'x-forwarded-for': `10.0.0.${i}, 192.0.2.1` })
  expect(await guess(proxied.port, '127.0.0.2', appended)).toEqual([...refused, ...waiting])
  expect((await ask(proxied.port, 'secret', '127.0.0.2', { 'x-forwarded-for': '192.0.2.2' })).status).toBe(404)
})

it.each([
  ['::ffff:10.0.0.1', '10.0.0.1'],
  ['2001:db8:0:1::5', '2001:db8:0:1'],
  ['2001:db8:0:1:ffff:1:2:3', '2001:db8:0:1'],
  ['::1', '0:0:0:0'],
  ['fe80::1%eth0', 'fe80:0:0:0'],
  ['', ''],
])('the network of %j is %j', (address, network) => expect(networkOf(address)).toBe(network))
