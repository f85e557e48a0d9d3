import { existsSync, readFileSync } from 'node:fs'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openSource } from '../../src/dataset/source.ts'
import { openFile } from '../../src/net/download.ts'

const zip = readFileSync(fileURLToPath(new URL('../../fixtures/zips/valid/ten-pairs.zip', import.meta.url)))

const answers: Record<string, (response: ServerResponse) => void> = {
  '/pairs.zip': (response) => response.end(zip),
  '/moved.zip': (response) => response.writeHead(302, { location: '/pairs.zip' }).end(),
  '/share/view': (response) => response.setHeader('content-type', 'text/html; charset=utf-8').end('<html></html>'),
  '/empty.zip': (response) => response.end(),
  '/song.zip': (response) => response.end('ID3 this is a song'),
  '/private.zip': (response) => response.writeHead(403).end('no'),
  '/ref.WAV': (response) => response.end('RIFF'),
  '/broken.zip': (response) => {
    response.writeHead(200, { 'content-length': zip.length })
    response.write(zip.subarray(0, 100), () => response.destroy())
  },
}

let server: Server
let origin = ''
beforeAll(async () => {
  server = createServer((request, response) => {
    const answer = answers[new URL(request.url ?? '', 'http://localhost').pathname]
    if (answer) answer(response)
    else response.writeHead(404, 'Not Found').end('nothing here')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(() => server.close())

test('a zip file is downloaded as a dataset, with or without a redirect', async () => {
  for (const path of ['/pairs.zip?token=secret', '/moved.zip']) {
    const source = await openSource(origin + path)
    expect(source.paths).toHaveLength(30)
    expect(source.location).not.toContain('secret')
    await source.close()
  }
})

test('a downloaded file has a lower-case extension and is removed when it is closed', async () => {
  const file = await openFile(`${origin}/ref.WAV`)
  expect(file.path).toMatch(/\.wav$/)
  expect(readFileSync(file.path, 'utf8')).toBe('RIFF')
  await file.close()
  expect(existsSync(file.path)).toBe(false)
})

test.each([
  ['/gone.zip?token=secret', '/gone.zip answered 404 Not Found'],
  ['/private.zip', '/private.zip answered 403 Forbidden'],
  ['/share/view', '/share/view sent a web page instead of a file'],
  ['/empty.zip', '/empty.zip sent an empty file'],
  ['/song.zip', '/song.zip is not a zip archive'],
])('%s is refused', async (path, message) => {
  await expect(openSource(origin + path)).rejects.toMatchObject({
    name: 'UserError',
    message: origin + message,
    hint: expect.any(String),
  })
})

test('an incomplete download is refused', async () => {
  await expect(openSource(`${origin}/broken.zip`)).rejects.toThrow(/^the download of .*broken\.zip broke off after/)
})

test('a part of a file is not taken for the whole file', async () => {
  answers['/part.wav'] = (response) => response.writeHead(206, { 'content-range': 'bytes 0-3/100' }).end('RIFF')
  await expect(openFile(`${origin}/part.wav`)).rejects.toThrow(
    `${origin}/part.wav answered 206 Partial Content, which is not the whole file`,
  )
})

test('an unreachable server is reported', async () => {
  await expect(openSource('http://127.0.0.1:1/pairs.zip')).rejects.toThrow(
    'http://127.0.0.1:1/pairs.zip cannot be reached',
  )
})

const noPause = async () => ({ fetch, sleep: async () => {} })

test('a download is retried after 503 responses', async () => {
  let requests = 0
  answers['/busy.wav'] = (response) => (++requests < 3 ? response.writeHead(503).end() : response.end('RIFF'))
  const file = await openFile(`${origin}/busy.wav`, { client: await noPause() })
  expect([requests, readFileSync(file.path, 'utf8')]).toEqual([3, 'RIFF'])
  await file.close()
})

test('a server that keeps responding with 503 is reported', async () => {
  answers['/overloaded.wav'] = (response) => response.writeHead(503, 'Service Unavailable').end()
  await expect(openFile(`${origin}/overloaded.wav`, { client: await noPause() })).rejects.toThrow(
    `${origin}/overloaded.wav answered 503 Service Unavailable, 3 times in a row`,
  )
})

test('an aborted download rejects with Interrupted, also while waiting for a retry', async () => {
  answers['/endless.wav'] = (response) => void response.write('RIFF')
  const controller = new AbortController()
  const opening = openFile(`${origin}/endless.wav`, { signal: controller.signal })
  setTimeout(() => controller.abort(), 50)
  await expect(opening).rejects.toMatchObject({
    name: 'Interrupted',
    message: `stopped during the download of ${origin}/endless.wav`,
  })
  const retried = new AbortController()
  answers['/soon.wav'] = (response) => {
    response.writeHead(503, { 'retry-after': '100' }).end()
    setTimeout(() => retried.abort(), 50)
  }
  await expect(openFile(`${origin}/soon.wav`, { signal: retried.signal })).rejects.toMatchObject({
    name: 'Interrupted',
  })
})
