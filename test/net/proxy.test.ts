import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openFile } from '../../src/net/download.ts'
import { fetchThroughProxies, proxyFor } from '../../src/net/http-client.ts'
import { createReporter } from '../../src/platform/progress.ts'
import { obtainWheels } from '../../src/setup/tensorflow-wheels.ts'
import { inFolder, newFolder } from '../cli/bin.ts'
import { servePackages, tensorflowFiles, wheelBytes, wheelTag } from '../setup/package-server.ts'
import { type RangeServer, serveRanges, textFile } from './range-server.ts'

/** A proxy that opens tunnels and records their targets. */
async function startProxy() {
  const tunnels: string[] = []
  const http = createServer()
  http.on('connect', (request, socket) => {
    tunnels.push(request.url ?? '')
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
  return { url: `http://127.0.0.1:${port}`, tunnels, close: () => http.close() }
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
  ])('%s is %s', (url, proxy) => expect(proxyFor(new URL(url), env)).toBe(proxy))

  it('any URL is undefined when NO_PROXY is *', () =>
    expect(proxyFor(new URL('https://a.b'), { ...env, NO_PROXY: '*' })).toBeUndefined())

  it('any URL is refused when it is not itself a URL', () =>
    expect(() => proxyFor(new URL('https://a.b'), { HTTPS_PROXY: 'proxy:3128' })).toThrow(
      'HTTPS_PROXY is not the URL of a proxy: proxy:3128',
    ))
})

describe('requests', () => {
  it('use the fetch function of Node without a proxy', async () => {
    expect(await fetchThroughProxies({ HTTPS_PROXY: '' })).toBe(fetch)
  })

  it.each(['HTTP_PROXY', 'http_proxy'])('use the proxy in %s', async (name) => {
    proxy.tunnels.length = 0
    const proxied = await fetchThroughProxies({ [name]: proxy.url })
    const response = await proxied(new URL(far()), { headers: { range: 'bytes=8-10' }, redirect: 'manual' })
    expect([response.status, await response.text()]).toEqual([206, 'the'])
    expect(proxy.tunnels).toEqual([new URL(far()).host])
  })

  it('do not use the proxy for hosts in NO_PROXY', async () => {
    proxy.tunnels.length = 0
    const proxied = await fetchThroughProxies({ HTTP_PROXY: proxy.url, NO_PROXY: '127.0.0.1' })
    expect(await (await proxied(new URL(server.url('file')))).text()).toBe('through the proxy')
    expect(proxy.tunnels).toEqual([])
  })
})

describe('a dataset', () => {
  it.each(['HTTP_PROXY', 'http_proxy'])('is downloaded through the proxy in %s', async (name) => {
    proxy.tunnels.length = 0
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
  proxy.tunnels.length = 0
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
