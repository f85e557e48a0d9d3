/** Runs of workers on other machines, with a server and a queue in memory. */
import { createHash, randomUUID } from 'node:crypto'
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { replaceFile } from '../../src/platform/files.ts'
import { lockFolder } from '../../src/platform/lock.ts'
import type { RunFile } from '../../src/worker/job-files.ts'
import { remoteFiles } from '../../src/worker/remote-files.ts'
import { serve } from '../server/test-server.ts'

const signal = new AbortController().signal

type Server = Awaited<ReturnType<typeof serve>>

function workerOf({ port }: Pick<Server, 'port'>, options: { key?: string; allowPrivate?: boolean } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'worker-'))
  const errors: unknown[] = []
  const files = remoteFiles({
    ...{ server: `http://127.0.0.1:${port}/`, folder, ...options },
    onError: (error) => errors.push(error),
  })
  onTestFinished(() => {
    files.close()
    rmSync(folder, { recursive: true, force: true })
  })
  return { files, folder, errors }
}

/** A request that a worker has for the nth time. */
async function claimed({ queue }: Pick<Server, 'queue'>, attempts = 1) {
  const { id } = await queue.submit({ kind: 'train', endpoint: 'e', input: {}, parameters: {}, priority: 'normal' })
  attempt({ queue }, id, attempts)
  return id
}

function attempt({ queue }: Pick<Server, 'queue'>, id: string, attempts: number) {
  queue.start(id)
  Object.assign(queue.requests.get(id) ?? {}, { attempts })
}

function write(folder: string, files: Readonly<Record<string, string>>) {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    replaceFile(join(folder, path), [text])
  }
}

const contentOf = (folder: string) =>
  Object.fromEntries(
    readdirSync(folder, { withFileTypes: true, recursive: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => [path.slice(folder.length + 1), readFileSync(path, 'utf8')]),
  )

const run = {
  'config.json': '{"tool":"ltx-a2a"}',
  'metrics.jsonl': '{"step":1}\n',
  'checkpoints/lora_weights_step_00001.safetensors': 'one',
  'previews/preview-1-00001.wav': 'sound',
  'tensorboard/events': '',
  'report.html': '<html>',
  'state.safetensors': 'state of 1',
}

it('a run is saved without what is unfinished, and another worker begins with it', async () => {
  const server = await serve()
  const id = await claimed(server)
  const saved = join(server.data, 'files', 'runs', id)
  const first = workerOf(server)
  const folder = await first.files.open(id, 1)
  await folder.load(signal)
  expect(existsSync(folder.path)).toBe(false)
  write(folder.path, { ...run, 'run.lock': '{}', 'lora.safetensors.1-0-1.tmp': 'half' })
  await folder.save()
  expect(contentOf(saved)).toEqual(run)
  expect(folder.keyOf('lora.safetensors')).toBe(`runs/${id}/lora.safetensors`)

  const later = {
    'metrics.jsonl': '{"step":1}\n{"step":2}\n',
    'checkpoints/lora_weights_step_00002.safetensors': 'two',
    'state.safetensors': 'state of 2',
  }
  appendFileSync(join(folder.path, 'metrics.jsonl'), '{"step":2}\n')
  write(folder.path, later)
  rmSync(join(folder.path, 'checkpoints/lora_weights_step_00001.safetensors'))
  await folder.save()
  const { 'checkpoints/lora_weights_step_00001.safetensors': _, ...kept } = run
  expect(contentOf(saved)).toEqual({ ...kept, ...later })

  attempt(server, id, 2)
  const second = workerOf(server)
  const copy = await second.files.open(id, 2)
  await copy.load(signal)
  expect(contentOf(copy.path)).toEqual({ ...kept, ...later })
})

it('what a worker has left from an earlier attempt is replaced by what is saved', async () => {
  const server = await serve()
  const id = await claimed(server)
  const { files } = workerOf(server)
  const folder = await files.open(id, 1)
  write(folder.path, run)
  await folder.save()
  write(folder.path, { 'state.safetensors': 'state of 9', 'checkpoints/lora_weights_step_00009.safetensors': 'nine' })
  attempt(server, id, 2)
  const again = await files.open(id, 2)
  await again.load(signal)
  expect(contentOf(again.path)).toEqual(run)
})

it('sends only what has changed, the config first and the state last', async () => {
  const sent: string[] = []
  const recorder = createServer((request, response) => {
    sent.push(`${request.method} ${request.url}`)
    request.resume().on('end', () => response.end('{}'))
  })
  await new Promise<void>((resolve) => recorder.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void recorder.close())
  const { port } = recorder.address() as { port: number }
  const { files } = workerOf({ port })
  const id = randomUUID()
  const folder = await files.open(id, 3)
  write(folder.path, run)
  await Promise.all([folder.save(), folder.save(), folder.save()])
  expect(sent).toHaveLength(7)
  expect(sent[0]).toBe(`PUT /internal/runs/${id}/config.json?attempt=3`)
  expect(sent.at(-1)).toBe(`PUT /internal/runs/${id}/state.safetensors?attempt=3`)
  sent.length = 0
  write(folder.path, { 'state.safetensors': 'state of 2', 'metrics.jsonl': '{"step":2}\n' })
  await folder.save()
  expect(sent.map((one) => one.split('/').at(-1))).toEqual(['metrics.jsonl?attempt=3', 'state.safetensors?attempt=3'])
})

it('the state that is sent is no newer than the metrics that were sent before it', async () => {
  const bodies: Record<string, string> = {}
  let folderPath = ''
  const slow = createServer(async (request, response) => {
    const name = request.url?.split('/').at(-1)?.replace(/\?.*/, '') ?? ''
    bodies[name] = ''
    for await (const chunk of request) bodies[name] += chunk
    // meanwhile the training goes on, and saves
    if (name === 'metrics.jsonl') write(folderPath, { 'metrics.jsonl': 'until 2', 'state.safetensors': 'state of 2' })
    response.end('{}')
  })
  await new Promise<void>((resolve) => slow.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void slow.close())
  const { files } = workerOf(slow.address() as { port: number })
  const folder = await files.open(randomUUID(), 1)
  folderPath = folder.path
  write(folder.path, { 'metrics.jsonl': 'until 1', 'state.safetensors': 'state of 1' })
  await folder.save()
  expect(bodies).toMatchObject({ 'metrics.jsonl': 'until 1', 'state.safetensors': 'state of 1' })
  await folder.save()
  expect(bodies).toMatchObject({ 'metrics.jsonl': 'until 2', 'state.safetensors': 'state of 2' })
})

it('a worker that has lost its request changes nothing', async () => {
  const server = await serve()
  const id = await claimed(server)
  const folder = await workerOf(server).files.open(id, 1)
  write(folder.path, run)
  await folder.save()
  write(folder.path, { 'state.safetensors': 'state of 2' })
  attempt(server, id, 2)
  await expect(folder.save()).rejects.toThrow('another worker has the request, or it is completed')
  attempt(server, id, 1)
  server.queue.finish(id, { output: {} })
  await expect(folder.save()).rejects.toThrow('another worker has the request, or it is completed')
  expect(contentOf(join(server.data, 'files', 'runs', id))).toEqual(run)
})

it('a file that arrives after its worker has lost the request is not taken', async () => {
  const server = await serve()
  const id = await claimed(server)
  const body = new ReadableStream({
    pull: async (controller) => {
      controller.enqueue(new TextEncoder().encode('late'))
      await new Promise((resolve) => setTimeout(resolve, 200)) // the server has begun to read
      attempt(server, id, 2)
      controller.close()
    },
  })
  const init = { method: 'PUT', body, duplex: 'half' } as RequestInit
  const { status } = await server.fetch(`/internal/runs/${id}/state.safetensors?attempt=1`, init)
  expect(status).toBe(412)
  expect(contentOf(join(server.data, 'files', 'runs', id))).toEqual({})
})

it('inputs are fetched once, kept until the request is completed, and may be gone', async () => {
  const server = await serve()
  const key = new URL(await server.upload('<html>', 'pairs.html')).pathname.replace('/files/', '')
  const { files, folder: root } = workerOf(server)
  const id = await claimed(server)
  const folder = await files.open(id, 1)
  const path = await folder.input(key, signal)
  expect([path.endsWith('/pairs.html'), readFileSync(path, 'utf8')]).toEqual([true, '<html>'])
  rmSync(join(server.data, 'files', key))
  expect(await folder.input(key, signal)).toBe(path)
  await files.discard(id)
  expect(existsSync(path)).toBe(false)
  expect(readdirSync(join(root, 'inputs'))).toEqual([])
  await expect(folder.input(key, signal)).rejects.toMatchObject({
    message: 'the file pairs.html is no longer on the server',
    code: 'file_download_error',
  })
})

it('a download that breaks off goes on where it was', async () => {
  const content = 'x'.repeat(100_000) + 'y'.repeat(100_000)
  const ranges: (string | undefined)[] = []
  const flaky = createServer((request, response) => {
    const { range } = request.headers
    ranges.push(range)
    const start = Number(/\d+/.exec(range ?? '')?.[0] ?? 0)
    const headers = { 'content-length': String(content.length - start), etag: '"1"' }
    response.writeHead(range ? 206 : 200, headers)
    if (range) response.end(content.slice(start))
    else response.write(content.slice(0, 100_000), () => setTimeout(() => response.destroy(), 50))
  })
  await new Promise<void>((resolve) => flaky.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void flaky.close())
  const { files, errors } = workerOf(flaky.address() as { port: number })
  const folder = await files.open(randomUUID(), 1)
  const path = await folder.input(`uploads/${randomUUID()}/pairs.zip`, signal)
  expect(readFileSync(path, 'utf8') === content).toBe(true)
  expect(ranges).toEqual([undefined, 'bytes=100000-'])
  expect(errors).toHaveLength(1)
})

it("clients' URLs must not lead into the network of the worker", async () => {
  const server = await serve()
  const folder = await workerOf(server).files.open(randomUUID(), 1)
  await expect(folder.download(`http://127.0.0.1:${server.port}/health`, signal)).rejects.toThrow(
    'is not on the public internet',
  )
})

it('the key is needed, and only files of runs can be written', async () => {
  const server = await serve({ key: 'secret' })
  const id = await claimed(server)
  const { files } = workerOf(server, { key: 'wrong' })
  await expect(files.check(signal)).rejects.toThrow(`127.0.0.1:${server.port} does not accept the key`)
  await workerOf(server, { key: 'secret' }).files.check(signal)
  for (const method of ['GET', 'PUT', 'DELETE']) {
    const path = `/internal/runs/${id}${method === 'GET' ? '' : '/config.json'}?attempt=1`
    expect((await fetch(`http://127.0.0.1:${server.port}${path}`, { method })).status).toBe(401)
  }
  const put = (path: string) => server.raw(`/internal/runs/${path}?attempt=1`, { method: 'PUT' })
  for (const path of ['../x', '%2e%2e/x', '..%2fx', '.hidden', 'run.lock', 'a%00b', '', 'x.1-0-1.tmp', '%zz', '%5c'])
    expect([path, (await put(`${id}/${path}`)).status]).toEqual([path, 404])
  expect((await put(`${randomUUID()}/config.json`)).status).toBe(404)
  expect((await server.fetch(`/internal/runs/${id}/config.json`, { method: 'PUT', body: 'x' })).status).toBe(412)
  expect(existsSync(join(server.data, 'files', 'runs', id))).toBe(false)
})

it('files are listed with their size and hash, and must not be larger than uploads', async () => {
  const server = await serve({ limits: { uploadBytes: 10 } })
  const id = await claimed(server)
  const put = (body: string) =>
    server.fetch(`/internal/runs/${id}/previews/a%20b.wav?attempt=1`, { method: 'PUT', body })
  expect((await put('sound')).status).toBe(200)
  expect((await put('more than ten')).status).toBe(413)
  writeFileSync(join(server.data, 'files', 'runs', id, '.upload.1-0-1.tmp'), 'half')
  const { files } = (await (await server.fetch(`/internal/runs/${id}`)).json()) as { files: RunFile[] }
  const sha256 = createHash('sha256').update('sound').digest('hex')
  expect(files).toEqual([{ path: 'previews/a b.wav', size: 5, sha256 }])
  expect((await server.fetch(`/internal/runs/${randomUUID()}`)).status).toBe(404)
})

it('what a killed worker has left is removed, once its training has ended', async () => {
  const { files, folder } = workerOf(await serve())
  const [saving, ended] = ['saving', 'ended'].map((id) => join(folder, 'runs', id)) as [string, string]
  replaceFile(join(ended, 'config.json'), ['{}'])
  replaceFile(join(folder, 'inputs', 'ended', 'a', 'pairs.zip'), ['zip'])
  replaceFile(join(folder, 'downloads', 'ended', 'a', 'pairs.zip'), ['zip'])
  const lock = lockFolder(saving)
  const removed = files.removeLeft()
  expect(
    await Promise.race([removed.then(() => 'removed'), new Promise((r) => setTimeout(() => r('waits'), 300))]),
  ).toBe('waits')
  expect(existsSync(saving)).toBe(true)
  lock.release()
  await removed
  expect(readdirSync(folder)).toEqual([])
})
