import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { createHttpClient } from '../../src/net/http-client.ts'
import { needs } from '../needs.ts'

const hasOpenssl = spawnSync('openssl', ['version']).status === 0

it.skipIf(!hasOpenssl)('a server is trusted with its certificate only', needs('openssl'), async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-certificates-'))
  const [key, cert] = ['key.pem', 'cert.pem'].map((name) => join(folder, name)) as [string, string]
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1', '-days', '2']
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', cert, ...subject], {
    stdio: 'ignore',
  })
  const server = createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (_, response) =>
    response.end('yes'),
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = new URL(`https://127.0.0.1:${(server.address() as AddressInfo).port}/`)
  try {
    const options = { redirect: 'manual', signal: new AbortController().signal } as const
    const trusting = createHttpClient({ env: {}, certificates: cert })
    expect(await (await trusting.fetch(url, options)).text()).toBe('yes')
    const other = createHttpClient({ env: {}, certificates: folder }) // pip also takes a folder, which is ignored
    await expect(other.fetch(url, options)).rejects.toThrow('fetch failed')
  } finally {
    server.closeAllConnections()
    server.close()
  }
})

it('certificates that cannot be read are an error of one sentence', () => {
  const certificates = join(tmpdir(), 'no-such-certificates.pem')
  const error = expect.objectContaining({
    name: 'UserError',
    message: `the certificates ${certificates} cannot be read`,
  })
  expect(() => createHttpClient({ env: {}, certificates })).toThrow(error)
})
