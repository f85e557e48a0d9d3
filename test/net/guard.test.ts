/** URLs from outside. Names are resolved by the test; this machine stands for a public server, and no connection leaves it. */
import { existsSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs'
import { createServer, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, isIPv6, type LookupFunction } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { parseLimits } from '../../src/config/limits.ts'
import { downloadInput, type InputOptions } from '../../src/net/download-input.ts'
import { createFetch } from '../../src/net/fetch.ts'
import { clientUrl, type Guard, guardFor, isPublicAddress } from '../../src/net/guard.ts'

const answers: Record<string, (response: ServerResponse, name: string) => void> = {
  '/pairs.zip': (response) => response.end('a zip'),
  '/to-metadata': (response) => response.writeHead(302, { location: 'http://169.254.169.254/latest/' }).end(),
  '/to-name': (response) => response.writeHead(302, { location: `http://inside.test:${port}/pairs.zip` }).end(),
  '/to-itself': (response) => response.writeHead(302, { location: '/to-itself', connection: 'close' }).end(),
  '/to-decimal': (response) => response.writeHead(302, { location: 'http://2852039166/latest/' }).end(),
  '/to-mapped': (response) => response.writeHead(302, { location: 'http://[::ffff:10.0.0.1]/' }).end(),
  '/to-file': (response) => response.writeHead(302, { location: 'file:///etc/passwd' }).end(),
  '/again': (response) => response.writeHead(302, { location: '/pairs.zip', connection: 'close' }).end(),
  '/large': (response) => response.end(Buffer.alloc(2 ** 20 + 1)),
  '/bomb': (response) =>
    response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(Buffer.alloc(4 * 2 ** 20))),
  '/endless': (response) => {
    const more = () => void (response.destroyed || response.write(Buffer.alloc(2 ** 16), more))
    more()
  },
  '/drip': async (response) => {
    for (; !response.destroyed; await setTimeout(20)) response.write('x')
  },
  '/silent': () => {},
  '/named': (response, name) => response.writeHead(200, { 'content-disposition': name }).end('x'),
}

let server: Server
let port = 0
const seen: string[] = []
beforeAll(async () => {
  server = createServer((request, response) => {
    seen.push(`${request.method} ${request.url}`)
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://localhost')
    answers[pathname]?.(response, searchParams.get('name') ?? '')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  port = (server.address() as AddressInfo).port
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})
beforeEach(() => void seen.splice(0))

/** @param answers the addresses of a name: one list for each time it is resolved; the last one stays. */
function resolver(answers: Record<string, string[][]>) {
  const asked: string[] = []
  const lookup: LookupFunction = (name, options, callback) => {
    const times = asked.filter((other) => other === name).length
    asked.push(name)
    const found = answers[name]?.[Math.min(times, (answers[name]?.length ?? 0) - 1)]
    const addresses = found?.map((address) => ({ address, family: isIPv6(address) ? 6 : 4 }))
    if (addresses?.[0] === undefined) callback(Object.assign(new Error(name), { code: 'ENOTFOUND' }), '')
    else if (options.all) callback(null, addresses)
    else callback(null, addresses[0].address, addresses[0].family)
  }
  return { asked, lookup }
}

const here = '127.0.0.1'
const guardOf = (lookup: LookupFunction): Guard => ({
  lookup,
  isAllowed: (address) => address === here || isPublicAddress(address),
})

const newFolder = () => mkdtempSync(join(tmpdir(), 'ltx-a2a-guard-'))

/** Downloads from this machine, by a name that resolves to it. */
async function get(path: string, options: Partial<InputOptions> = {}, names: Record<string, string[][]> = {}) {
  const { asked, lookup } = resolver({ 'public.test': [[here]], ...names })
  const folder = newFolder()
  const host = Object.keys(names)[0] ?? 'public.test'
  const settings = { allowPrivate: false, guard: guardOf(lookup), env: {}, ...options }
  const outcome = await downloadInput(`http://${host}:${port}${path}`, folder, settings).then(
    (file) => ({ file, error: undefined }),
    (error: Error) => ({ file: '', error }),
  )
  return { ...outcome, asked, folder, left: readdirSync(folder) }
}

const refused = (host: string) => ({
  name: 'UserError',
  code: 'file_download_error',
  message: `${host} is not on the public internet, and may not be reached`,
})

describe('public addresses', () => {
  it.each([
    ...['1.1.1.1', '8.8.8.8', '9.255.255.255', '11.0.0.0', '100.63.255.255', '100.128.0.0', '126.255.255.255'],
    ...['128.0.0.0', '169.253.255.255', '169.255.0.0', '172.15.255.255', '172.32.0.0', '192.167.255.255'],
    ...['192.169.0.0', '198.17.255.255', '198.20.0.0', '223.255.255.255', '168.63.129.15'],
    ...['2606:4700::1111', '2a00:1450:4001::1', '2001:4860:4860::8888', '64:ff9b::8.8.8.8', '64:ff9b::808:808'],
  ])('include %s', (address) => expect(isPublicAddress(address)).toBe(true))

  it.each([
    ...['0.0.0.0', '0.1.2.3', '10.0.0.0', '10.255.255.255', '100.64.0.0', '100.100.100.200', '100.127.255.255'],
    ...['127.0.0.1', '127.255.255.255', '168.63.129.16', '169.254.0.1', '169.254.169.254', '172.16.0.0'],
    ...['172.31.255.255', '192.0.0.1', '192.0.2.1', '192.88.99.1', '192.168.0.1', '192.168.255.255', '198.18.0.0'],
    ...[
      '198.19.255.255',
      '198.51.100.1',
      '203.0.113.1',
      '224.0.0.1',
      '239.255.255.255',
      '240.0.0.1',
      '255.255.255.255',
    ],
    ...['::', '::1', '::7f00:1', '::ffff:127.0.0.1', '::ffff:8.8.8.8', '::ffff:0:10.0.0.1', '64:ff9b::10.0.0.1'],
    ...['64:ff9b::a9fe:a9fe', '64:ff9b::7f00:1', '64:ff9b::172.31.0.1', '64:ff9b:1::8.8.8.8', '100::1'],
    ...['2001::1', '2001:db8::1', '2002:7f00:1::', '2002:a00:1::1', '3fff::1', '5f00::1', 'fc00::1', 'fd00:ec2::254'],
    ...['fe80::1', 'fe80::1%eth0', 'febf::1', 'fec0::1', 'ff02::1', '', 'localhost', '1.1.1'],
  ])('do not include %s', (address) => expect(isPublicAddress(address)).toBe(false))
})

describe('a URL of a client', () => {
  const guard = guardFor({ allowPrivate: false })

  it.each([
    ...['http://127.0.0.1/', 'http://2130706433/', 'http://0x7f000001/', 'http://0x7f.1/', 'http://017700000001/'],
    ...['http://0177.0.0.1/', 'http://127.1/', 'http://127.0.0.1./', 'http://①②⑦.0.0.1/', 'http://127%2e0.0.1/'],
    ...['http://0/', 'http://[::1]/', 'http://[::]:80/', 'http://[0:0:0:0:0:ffff:7f00:1]/', 'http://[::127.0.0.1]/'],
    ...['https://169.254.169.254/latest/', 'http://[fe80::1]/', 'http://[64:ff9b::10.0.0.1]/', 'http://[fd00::1]/'],
  ])('is refused: %s', (text) => {
    expect(() => clientUrl(text, guard)).toThrow('is not on the public internet')
    expect(clientUrl(text, guardFor({ allowPrivate: true })).href).toMatch(/^https?:/)
  })

  it.each([
    ['file:///etc/passwd', 'file: URLs are not supported: file:///etc/passwd'],
    ['ftp://public.test/x', 'ftp: URLs are not supported: ftp://public.test/x'],
    ['pairs.zip', 'pairs.zip is not a URL'],
    ['http://[fe80::1%25eth0]/', 'http://[fe80::1%25eth0]/ is not a URL'],
    ['https://me:secret@public.test/x?key=1', 'https://…@public.test/x contains a login'],
    ['https://me@public.test/x', 'https://…@public.test/x contains a login'],
  ])('is refused, also where private addresses are allowed: %s', (text, message) => {
    for (const given of [guard, undefined])
      expect(() => clientUrl(text, given)).toThrow(expect.objectContaining({ name: 'UserError', message }))
  })

  it('may have any port', () => expect(clientUrl('https://public.test:8443/x', guard).port).toBe('8443'))
})

describe('a name is refused', () => {
  it.each([
    [['10.0.0.1']],
    [['127.0.0.2']],
    [['169.254.169.254']],
    [['::1']],
    [['fd00::1']],
    [['::ffff:10.0.0.1']],
    [['64:ff9b::a00:1']],
    [[here, '10.0.0.1']],
    [['10.0.0.1', here]],
  ])('that resolves to %s', async (addresses) => {
    const { error, left } = await get('/pairs.zip', {}, { 'inside.test': [addresses] })
    expect(error).toMatchObject(refused('inside.test'))
    expect([seen, left]).toEqual([[], []])
  })

  it.each([
    ['/to-metadata', '169.254.169.254'],
    ['/to-decimal', '169.254.169.254'],
    ['/to-mapped', '::ffff:a00:1'],
  ])('after the redirect %s', async (path, host) => {
    const { error, left } = await get(path)
    expect(error).toMatchObject(refused(host))
    expect([seen, left]).toEqual([[`GET ${path}`], []])
  })

  it('after a redirect to a name with a private address', async () => {
    const { error } = await get('/to-name', {}, { 'public.test': [[here]], 'inside.test': [['10.0.0.1']] })
    expect(error).toMatchObject(refused('inside.test'))
    expect(seen).toEqual(['GET /to-name'])
  })

  it('that has another address when the next connection is made', async () => {
    const { error, asked } = await get('/again', {}, { 'rebinding.test': [[here], ['10.0.0.1']] })
    expect(error).toMatchObject(refused('rebinding.test'))
    expect(asked).toEqual(['rebinding.test', 'rebinding.test'])
    expect(seen).toEqual(['GET /again'])
  })

  it('for https, too', async () => {
    const guarded = createFetch({ env: {}, guard: guardOf(resolver({ 'inside.test': [['10.0.0.1']] }).lookup) })
    const signal = AbortSignal.timeout(5000)
    const answer = guarded(new URL('https://inside.test/'), { redirect: 'manual', signal })
    await expect(answer).rejects.toThrow(refused('inside.test').message)
  })

  it('by the resolver of this machine', async () => {
    const folder = newFolder()
    const download = downloadInput(`http://localhost:${port}/pairs.zip`, folder, { allowPrivate: false, env: {} })
    await expect(download).rejects.toMatchObject(refused('localhost'))
    expect(seen).toEqual([])
  })
})

it('a connection is made to the address that was checked: a name is resolved once', async () => {
  const { file, asked } = await get('/pairs.zip', {}, { 'rebinding.test': [[here], ['10.0.0.1']] })
  expect(readFileSync(file, 'utf8')).toBe('a zip')
  expect(asked).toEqual(['rebinding.test'])
})

it('private addresses can be allowed', async () => {
  const file = await downloadInput(`http://${here}:${port}/pairs.zip`, newFolder(), { allowPrivate: true, env: {} })
  expect(readFileSync(file, 'utf8')).toBe('a zip')
})

it.each(['pairs.zip', 'ftp://public.test/x', 'http://me@public.test/', 'http://10.0.0.1/'])(
  'nothing is downloaded, and no folder made, for %s',
  async (location) => {
    const folder = join(newFolder(), 'inputs')
    const download = downloadInput(location, folder, { allowPrivate: false, env: {} })
    await expect(download).rejects.toMatchObject({ name: 'UserError', code: 'file_download_error' })
    expect(existsSync(folder)).toBe(false)
  },
)

it.each([
  ['/to-itself', 'redirects in circles'],
  ['/to-file', 'redirects to file:, which is not the web'],
])('%s is refused', async (path, message) => {
  const { error } = await get(path)
  expect(error).toMatchObject({ name: 'UserError', message: expect.stringContaining(message) })
  expect(seen.length).toBeLessThanOrEqual(11)
})

describe('a download ends', () => {
  const limits = parseLimits(['download-mib=1'])

  it.each(['/large', '/endless', '/bomb'])('when it is too large: %s', async (path) => {
    const { error, left } = await get(path, { limits })
    expect(error?.message).toBe(`http://public.test:${port}${path} has more than 1 MiB`)
    expect(left).toEqual([])
  })

  it('when nothing comes', async () => {
    const { error, left } = await get('/silent', { limits: parseLimits(['download-silence-seconds=0.1']) })
    expect(error?.message).toBe(`http://public.test:${port}/silent sent nothing for 0.1 s`)
    expect(left).toEqual([])
  })

  it('when it takes too long', async () => {
    const { error, left } = await get('/drip', { maxSeconds: 0.2 })
    const message = expect.stringContaining('/drip was not complete after')
    expect(error).toMatchObject({ name: 'UserError', code: 'file_download_error', message })
    expect(left).toEqual([])
  })

  it('when it is stopped', async () => {
    const { error, left } = await get('/drip', { signal: AbortSignal.timeout(100) })
    expect(error?.name).toBe('Interrupted')
    expect(left).toEqual([])
  })
})

describe('a download is named', () => {
  it.each([
    ['/pairs.zip?token=secret', 'pairs.zip'],
    ['/named', 'named'],
    ['/named?name=attachment; filename="my pairs.zip"', 'my-pairs.zip'],
    ["/named?name=attachment; filename*=UTF-8''caf%C3%A9.wav; filename=cafe.wav", 'café.wav'],
    ['/named?name=attachment; filename="../../etc/passwd"', 'passwd'],
    ['/named?name=attachment; filename="..\\..\\run.zip"', 'run.zip'],
    ['/named?name=attachment; filename=".bashrc"', 'bashrc'],
    ['/named?name=attachment; filename=".."', 'input'],
    ['/named?name=;;=', 'named'],
  ])('as the response or the URL says: %s', async (path, name) => {
    const { file, folder, left } = await get(encodeURI(path))
    expect(file).toBe(join(folder, name))
    expect(left).toEqual([name])
  })

  it('with its extension, however long the name is', async () => {
    const { left } = await get(encodeURI(`/named?name=attachment; filename="${'é'.repeat(300)}.zip"`))
    expect(left).toEqual([`${'é'.repeat(100)}.zip`])
  })
})

describe('through a proxy', () => {
  let proxy: Server
  const tunnels: string[] = []
  beforeAll(async () => {
    proxy = createServer().on('connect', (request, socket) => {
      tunnels.push(request.url ?? '')
      const target = connect(port, here, () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n')
        target.pipe(socket).pipe(target)
      })
      target.on('error', () => socket.destroy())
      socket.on('error', () => target.destroy())
    })
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  })
  afterAll(() => void proxy.close())
  beforeEach(() => void tunnels.splice(0))
  const env = () => ({ HTTP_PROXY: `http://localhost:${(proxy.address() as AddressInfo).port}` })

  it('names that only the proxy knows are left to it, and the proxy itself may have a private address', async () => {
    const { file } = await get('/pairs.zip', { env: env() }, { 'unknown.test': [] })
    expect(readFileSync(file, 'utf8')).toBe('a zip')
    expect(tunnels).toEqual([`unknown.test:${port}`])
  })

  it('names that have a private address here are refused', async () => {
    const { error } = await get('/pairs.zip', { env: env() }, { 'inside.test': [['10.0.0.1']] })
    expect(error).toMatchObject(refused('inside.test'))
    expect(tunnels).toEqual([])
  })

  it('private addresses are refused', async () => {
    const { error } = await get('/to-metadata', { env: env() })
    expect(error).toMatchObject(refused('169.254.169.254'))
    expect(tunnels).toEqual([`public.test:${port}`])
  })

  it('a request can be stopped while its name is resolved', async () => {
    const guarded = createFetch({ env: env(), guard: guardOf(() => {}) })
    const signal = AbortSignal.timeout(50)
    await expect(guarded(new URL('http://slow.test/'), { redirect: 'manual', signal })).rejects.toThrow('fetch failed')
    expect(tunnels).toEqual([])
  })
})
