import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openFile } from '../../src/net/download.ts'
import { createFetch } from '../../src/net/fetch.ts'
import { proxyFor } from '../../src/net/proxies.ts'
import { createReporter } from '../../src/platform/progress.ts'
import { obtainWheels } from '../../src/setup/tensorflow-wheels.ts'
import { inFolder, newFolder } from '../cli/bin.ts'
import { servePackages, tensorflowFiles, wheelBytes, wheelTag } from '../setup/package-server.ts'
import { type RangeServer, serveRanges, textFile } from './range-server.ts'

/** A proxy that opens tunnels and records their targets. */
async function startProxy() {
  const [tunnels, logins]: [string[], string[]] = [[], []]
  const http = createServer()
  http.on('connect', (request, socket) => {
    tunnels.push(request.url ?? '')
    const login = request.headers['proxy-authorization']?.replace(/^Basic /, '')
    if (login !== undefined) logins.push(Buffer.from(login, 'base64').toString())
    const [host = '', port] = (request.url ?? '').split(':')
    const target = connect(Number(port), host === 'far.invalid' ? '127.0.0.1' : host, () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      target.pipe(socket).pipe(target)
    })
    target.on('error', () => socket.destroy())
    socket.on('error', () => target.destroy())
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const { port } = http.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, tunnels, logins, close: () => http.close() }
}

let server: RangeServer
let proxy: Awaited<ReturnType<typeof startProxy>>
beforeAll(async () => {
  server = await serveRanges({ file: textFile('through the proxy') })
  proxy = await startProxy()
})
afterAll(async () => {
  proxy.close()
  await server.close()
})

beforeEach(() => {
  proxy.tunnels.length = 0
})

const far = () => server.url('file').replace('127.0.0.1', 'far.invalid')

describe('the proxy for', () => {
  const env = { HTTPS_PROXY: 'http://proxy:3128', NO_PROXY: 'localhost, .inside.org near.org:8443' }
  it.each([
    ['https://huggingface.co/x', 'http://proxy:3128'],
    ['http://huggingface.co/x', undefined],
    ['https://localhost/x', undefined],
    ['https://deep.inside.org/x', undefined],
    ['https://notinside.org/x', 'http://proxy:3128'],
    ['https://near.org:8443/x', undefined],
    ['https://near.org/x', 'http://proxy:3128'],
  ])('%s is %s', (url, proxy) => expect(proxyFor(new URL(url), env)?.origin).toBe(proxy))

  it('any URL is undefined when NO_PROXY is *', () =>
    expect(proxyFor(new URL('https://a.b'), { ...env, NO_PROXY: '*' })).toBeUndefined())

  const near = new URL('https://a.b')

  it('any URL may be without a scheme, and wins over that of pip', () => {
    expect(proxyFor(near, { HTTPS_PROXY: ' me:pa%ss@proxy:3128 ' })?.href).toBe('http://me:pa%ss@proxy:3128/')
    expect(proxyFor(near, { HTTPS_PROXY: '', https_proxy: 'a:1' }, 'b:2')?.href).toBe('http://a:1/')
    expect(proxyFor(near, { HTTPS_PROXY: ' ' }, 'b:2')?.href).toBe('http://b:2/')
  })

  it.each([
    [{ HTTPS_PROXY: 'socks5://me:secret@proxy:1080' }, 'HTTPS_PROXY is not the URL of a proxy: socks5://…@proxy:1080'],
    [{ https_proxy: 'me:s/ec@ret@proxy:none' }, 'https_proxy is not the URL of a proxy: …@proxy:none'],
    [{}, 'the proxy of pip is not the URL of a proxy: http://'],
  ])('any URL is refused when it is not itself one: %o', (env, message) =>
    expect(() => proxyFor(near, env, 'http://')).toThrow(message),
  )
})

describe('requests', () => {
  const options = { redirect: 'manual', signal: new AbortController().signal } as const

  it.each(['HTTP_PROXY', 'http_proxy'])('use the proxy in %s', async (name) => {
    const proxied = createFetch({ env: { [name]: proxy.url } })
    const response = await proxied(new URL(far()), { ...options, headers: { range: 'bytes=8-10' } })
    expect([response.status, await response.text()]).toEqual([206, 'the'])
    expect(proxy.tunnels).toEqual([new URL(far()).host])
  })

  it('send the login of the proxy, also where a percent sign stands for itself', async () => {
    for (const login of ['us%er:p%25ss', 'us%25er:p%25ss']) {
      const proxied = createFetch({ env: { HTTP_PROXY: proxy.url.replace('//', `//${login}@`) } })
      expect((await proxied(new URL(far()), options)).status).toBe(200)
    }
    expect(proxy.logins).toEqual(['us%er:p%ss', 'us%er:p%ss'])
  })

  it('do not use the proxy for hosts in NO_PROXY', async () => {
    const proxied = createFetch({ env: { HTTP_PROXY: proxy.url, NO_PROXY: '127.0.0.1' } })
    expect(await (await proxied(new URL(server.url('file')), options)).text()).toBe('through the proxy')
    expect(proxy.tunnels).toEqual([])
  })
})

describe('a dataset', () => {
  it.each(['HTTP_PROXY', 'http_proxy'])('is downloaded through the proxy in %s', async (name) => {
    const before = process.env[name]
    process.env[name] = proxy.url
    try {
      const file = await openFile(far())
      expect(readFileSync(file.path, 'utf8')).toBe('through the proxy')
      await file.close()
    } finally {
      if (before === undefined) delete process.env[name]
      else process.env[name] = before
    }
    expect(proxy.tunnels).toEqual([new URL(far()).host])
  })
})

it.each(['PIP_PROXY', 'HTTP_PROXY'])('wheels are downloaded through the proxy in %s', async (name) => {
  const packages = await servePackages()
  packages.add(`tensorflow_cpu-9.0.0-cp312-cp312-${wheelTag}.whl`, await wheelBytes(tensorflowFiles))
  const index = packages.index.href.replace('127.0.0.1', 'far.invalid')
  const folder = newFolder()
  const folders = { downloads: join(folder, 'downloads'), unpacked: folder }
  await inFolder({ env: { [name]: proxy.url, PIP_INDEX_URL: index } }, () =>
    obtainWheels({ device: 'CPU' }, folders, createReporter()),
  )
  await packages.close()
  expect(new Set(proxy.tunnels)).toEqual(new Set([new URL(index).host]))
})
