import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { parseLimits } from '../../src/config/limits.ts'
import { openFile } from '../../src/net/download.ts'

const limits = parseLimits(['download-mib=8', 'download-silence-seconds=0.5'])

type Handler = (response: ServerResponse, authorization: string | undefined) => void

const redirectTo =
  (location: string, status = 302) =>
  (response: ServerResponse) =>
    response.writeHead(status, { location }).end()

const handlers: Record<string, Handler> = {
  '/redirect-loop.zip': redirectTo('/redirect-loop-2.zip'),
  '/redirect-loop-2.zip': redirectTo('/redirect-loop.zip', 307),
  '/file.zip': redirectTo('file:///etc/passwd'),
  '/ftp.zip': redirectTo('ftp://127.0.0.1/pairs.zip'),
  '/data.zip': redirectTo('data:application/zip;base64,UEsFBg=='),
  '/invalid-redirect.zip': redirectTo('http://[broken'),
  '/large.zip': (response) => response.writeHead(200, { 'content-length': 2 ** 40 }).end(),
  '/endless.zip': (response) => {
    const fill = () => {
      while (!response.destroyed && response.write(Buffer.alloc(2 ** 16)));
    }
    response.on('drain', fill)
    fill()
  },
  '/no-response.zip': () => {},
  '/stalled-body.zip': (response) => void response.write('PK'),
  '/web-page.zip': (response) => response.setHeader('content-type', 'TEXT/HTML').end('<html></html>'),
  '/authorization.wav': (response, authorization) => response.end(authorization ?? 'no credentials'),
  '/other-origin.wav': (response) => redirectTo(`${otherOrigin}/authorization.wav`)(response),
}

const servers: Server[] = []
let [origin, otherOrigin] = ['', '']
const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-test-'))
const before = process.env.TMPDIR
beforeAll(async () => {
  process.env.TMPDIR = folder
  ;[origin, otherOrigin] = [await serve(), await serve()]
})
afterAll(() => {
  if (before === undefined) delete process.env.TMPDIR
  else process.env.TMPDIR = before
  for (const server of servers) server.close().closeAllConnections()
  expect(readdirSync(folder), 'leftover files').toEqual([])
  rmSync(folder, { recursive: true })
})

async function serve(): Promise<string> {
  const server = createServer(({ url = '', headers }, response) => {
    const handler = handlers[url]
    if (handler) handler(response, headers.authorization)
    else response.writeHead(404).end()
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

it.each([
  ['/redirect-loop.zip', 'redirects in circles', 'browser'],
  ['/file.zip', 'redirects to file:, which is not the web', 'give its path'],
  ['/ftp.zip', 'redirects to ftp:, which is not the web', 'give its path'],
  ['/data.zip', 'redirects to data:, which is not the web', 'give its path'],
  ['/invalid-redirect.zip', 'redirects to nowhere, which is not the web', 'give its path'],
  ['/large.zip', 'has more than 8 MiB', '--limit download-mib=1048576'],
  ['/endless.zip', 'has more than 8 MiB', '--limit download-mib=16'],
  ['/no-response.zip', 'sent nothing for 0.5 s', 'later'],
  ['/stalled-body.zip', 'sent nothing for 0.5 s', 'later'],
  ['/web-page.zip', 'sent a web page instead of a file', 'direct download link'],
])('%s %s', async (path, message, hint) => {
  await expect(openFile(origin + path, { limits })).rejects.toMatchObject({
    name: 'UserError',
    message: `${origin}${path} ${message}`,
    hint: expect.stringContaining(hint),
  })
})

it('credentials are not sent to another origin after a redirect', async () => {
  const withLogin = origin.replace('//', '//me:secret@')
  const contentOf = async (path: string) => {
    const file = await openFile(withLogin + path, { limits })
    const text = readFileSync(file.path, 'utf8')
    await file.close()
    return text
  }
  expect(await contentOf('/authorization.wav')).toBe(`Basic ${btoa('me:secret')}`)
  expect(await contentOf('/other-origin.wav')).toBe('no credentials')
})

it.each(['ftp://127.0.0.1/pairs.zip', 'data://x', 'javascript://x', 'gopher://127.0.0.1:1/x'])(
  '%s is not a valid location',
  async (location) => {
    await expect(openFile(location)).rejects.toThrow(/locations are not supported/)
  },
)
