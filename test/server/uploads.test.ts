/** Uploads stay as they are, and a full disk is said. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { defaultServerLimits } from '../../src/server/limits.ts'
import { openStoredFiles } from '../../src/server/stored-files.ts'
import { openUploads } from '../../src/server/uploads.ts'
import { endpoint, serve } from './test-server.ts'

type Server = Awaited<ReturnType<typeof serve>>

async function initiated({ post }: Server) {
  const answer = await post('/storage/upload/initiate', { file_name: 'pairs.zip' })
  return new URL(((await answer.json()) as { upload_url: string }).upload_url).pathname
}

/** A body that ends when it is told. */
function heldBody(text: string) {
  let end = () => {}
  const body = new ReadableStream({
    start: (controller) => {
      controller.enqueue(new TextEncoder().encode(text))
      end = () => controller.close()
    },
  })
  return { init: { method: 'PUT', body, duplex: 'half' } as RequestInit, end: () => end() }
}

const taken = { detail: 'The file was uploaded already', error_type: 'file_already_uploaded' }

it('a file that was uploaded cannot be sent again', async () => {
  const server = await serve()
  const path = await initiated(server)
  const put = (body: string) => server.fetch(path, { method: 'PUT', body })
  expect((await put('first')).status).toBe(200)
  const second = await put('second')
  expect([second.status, await second.json()]).toEqual([400, taken])
  expect(await (await server.fetch(path)).text()).toBe('first')
})

it('of two uploads to one URL at the same time the first that is complete stays', async () => {
  const server = await serve()
  const path = await initiated(server)
  const folder = dirname(join(server.data, path.slice(1)))
  const slow = heldBody('slow')
  const answer = server.fetch(path, slow.init)
  while (readdirSync(folder).length < 2) await new Promise((resolve) => setTimeout(resolve, 5)) // the name, and what comes
  expect((await server.fetch(path, { method: 'PUT', body: 'fast' })).status).toBe(200)
  slow.end()
  const { status } = await answer
  expect([status, await (await answer).json()]).toEqual([400, taken])
  expect(await (await server.fetch(path)).text()).toBe('fast')
  expect(readdirSync(folder).filter((name) => name.startsWith('.upload'))).toEqual([])
})

it('a disk that would have too little left is said before anything is written', async () => {
  const server = await serve({ limits: { freeBytes: Number.MAX_SAFE_INTEGER } })
  const answers = [
    await server.fetch('/files/upload', { method: 'POST', body: 'x' }),
    await server.post('/storage/upload/initiate', { file_name: 'a.zip' }),
    await server.post(`/${endpoint}`, { training_data_url: 'data:application/zip;base64,UEsFBg==' }),
  ]
  for (const answer of answers) {
    expect([answer.status, await answer.json()]).toMatchObject([507, { error_type: 'insufficient_storage' }])
    expect(answer.headers.get('x-fal-error-type')).toBe('insufficient_storage')
  }
  expect(existsSync(join(server.data, 'files', 'uploads'))).toBe(false)
})

it.each(['ENOSPC', 'EDQUOT'])('a disk that is full in the middle of an upload is said (%s)', async (code) => {
  const folder = mkdtempSync(join(tmpdir(), 'uploads-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  mkdirSync(join(folder, 'uploads'))
  const uploads = openUploads(openStoredFiles(folder), { ...defaultServerLimits, freeBytes: 0 })
  const key = await uploads.start('a.zip')
  async function* chunks() {
    yield new Uint8Array(10)
    throw Object.assign(new Error(`${code}: no space left on device, write`), { code })
  }
  await expect(uploads.write(key, chunks())).rejects.toMatchObject({
    error: { status: 507, type: 'insufficient_storage' },
  })
  expect(readdirSync(dirname(join(folder, key)))).toEqual(['.name'])
  expect(readFileSync(join(dirname(join(folder, key)), '.name'), 'utf8')).toBe('a.zip')
})
