/** Invalid sources of a pull: each is reported in one sentence with a hint, and the output file is not created. */
import { spawnSync } from 'node:child_process'
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
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { withDiskErrors } from '../../src/net/partial-file.ts'
import { requireSpace } from '../../src/net/pull.ts'
import { UserError } from '../../src/platform/errors.ts'
import { sizeText } from '../../src/platform/text.ts'
import type { PullSettings } from '../../src/setup/pull/settings.ts'
import { pullModel } from '../../src/setup/pull-model.ts'
import { projectPath } from '../cli/bin.ts'
import { type Interceptor, type RangeServer, serveRanges, textFile } from './range-server.ts'
import { syntheticCheckpoint } from './synthetic-checkpoint.ts'

const checkpoint = syntheticCheckpoint(256)
const good = { size: checkpoint.size, bytes: checkpoint.bytes, etag: '"one"' }

let server: RangeServer
let folder: string
let out: string
let waits: number[]
beforeAll(async () => {
  server = await serveRanges()
})
afterAll(() => server.close())
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-bad-'))
  out = join(folder, 'audio.safetensors')
  waits = []
  server.files.clear()
  server.files.set('ltx.safetensors', good)
})
afterEach(() => {
  Object.assign(server, { requests: [], intercept: undefined })
  rmSync(folder, { recursive: true, force: true })
})

async function pullError(
  settings: PullSettings = { from: server.url('ltx.safetensors') },
  env: Record<string, string> = {},
) {
  const wait = async (seconds: number) => void waits.push(seconds)
  try {
    await pullModel({ out, ...settings }, {}, { env, sleep: wait })
    return undefined
  } catch (error) {
    if (!(error instanceof UserError)) throw error
    return `${error.message} / ${error.hint}`
  }
}

async function expectRefusal(sentence: string | RegExp, ...args: Parameters<typeof pullError>) {
  expect(await pullError(...args)).toMatch(sentence)
  expect(existsSync(out)).toBe(false)
}

/** A file with the given header. */
function fileOf(header: unknown, dataBytes = 0, length?: number): Uint8Array {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header))
  const start = Buffer.alloc(8)
  start.writeBigUInt64LE(BigInt(length ?? json.length))
  return Buffer.concat([start, json, Buffer.alloc(dataBytes)])
}

const name = 'model.diffusion_model.audio_patchify_proj.weight'
const entry = (dtype: string, shape: number[], offsets: number[]) => ({ dtype, shape, data_offsets: offsets })

describe('pull refuses a file that', () => {
  it.each<[does: string, file: Uint8Array, sentence: string]>([
    ['is empty', fileOf('').subarray(0, 0), 'is empty, or shorter than it was (416)'],
    ['is truncated', fileOf({ [name]: entry('F32', [4], [0, 16]) }, 12), `tensor ${name} ends at byte`],
    ['has a header larger than itself', fileOf('{}', 0, 5000), 'its header claims 5000 bytes but the file has 10'],
    [
      'has tensors that overlap',
      fileOf({ a: entry('U8', [8], [0, 8]), b: entry('U8', [8], [4, 12]) }, 12),
      'tensors a and b overlap',
    ],
    ['has offsets out of its range', fileOf({ [name]: entry('U8', [8], [80, 88]) }, 12), 'ends at byte'],
    ['has an unknown type', fileOf({ [name]: entry('F5', [8], [0, 5]) }, 12), 'has the unknown type "F5"'],
    [
      'has weights of four bits',
      fileOf({ [name]: entry('F4', [8], [0, 4]) }, 4),
      'holds quantized weights, which cannot be read',
    ],
    [
      'has rotated integer weights',
      fileOf({ [name]: entry('I8', [8], [0, 8]) }, 8),
      'holds quantized weights, which cannot be read',
    ],
    ['has a header that is not JSON', fileOf('{"a":'), 'its header is not JSON'],
    ['has metadata that is not text', fileOf({ __metadata__: { config: {} } }), 'its metadata is not a map of strings'],
    [
      'names a tensor twice',
      fileOf(
        `{"a":${JSON.stringify(entry('U8', [1], [0, 1]))},"\\u0061":${JSON.stringify(entry('U8', [1], [0, 1]))}}`,
        1,
      ),
      'its header names a twice',
    ],
    ['is an HTML page', Buffer.from('<!DOCTYPE html><html>…</html>'), 'its header claims'],
    [
      'has no tensors of the audio path',
      fileOf({ x: entry('U8', [1], [0, 1]) }, 1),
      'has no tensor of the audio path of LTX',
    ],
    [
      'belongs to LTX-2.0',
      fileOf({ [name.replace('patchify_proj', 'caption_projection.linear_1')]: entry('U8', [1], [0, 1]) }, 1),
      'is an LTX-2.0 checkpoint (19B)',
    ],
    [
      'belongs to a release that is not known',
      fileOf({ __metadata__: { model_version: '2.6.0' }, [name]: entry('F16', [1], [0, 2]) }, 2),
      'is an LTX-2.6 checkpoint',
    ],
  ])('%s, on a server and here', async (_, file, sentence) => {
    server.files.set('ltx.safetensors', textFile(file))
    await expectRefusal(escaped(sentence))
    const local = join(folder, 'ltx.safetensors')
    writeFileSync(local, file)
    await expectRefusal(file.length === 0 ? /it has 0 bytes, too few for a header/ : escaped(sentence), { from: local })
    expect(readdirSync(folder)).toEqual(['ltx.safetensors'])
  })
})

const escaped = (text: string) => new RegExp(text.replace(/[()[\]{}.*+?^$|\\]/g, '\\$&'))

const answer =
  (status: number, headers: Record<string, string> = {}): Interceptor =>
  (_, response) => {
    response.writeHead(status, headers).end('no')
    return true
  }

/** Intercepts `times` requests from request number `first` of the server. */
const after =
  (first: number, times: number, intercept: Interceptor): Interceptor =>
  (request, response, count) =>
    count >= first && count < first + times && intercept(request, response, count)

/** Intercepts `times` requests, starting `offset` requests after its first call. */
const afterFirst = (offset: number, times: number, intercept: Interceptor): Interceptor => {
  let base: number | undefined
  return (request, response, count) => {
    base ??= count
    return after(base + offset, times, intercept)(request, response, count)
  }
}

describe('pull refuses a server that', () => {
  it('ignores range requests', async () => {
    server.intercept = (_, response) => {
      response.writeHead(200, { 'content-length': 5 }).end('whole')
      return true
    }
    await expectRefusal(/sends only whole files \/ download the whole file, then: ltx-a2a pull <the file>/)
  })

  it('sends an HTML page', async () => {
    server.intercept = answer(200, { 'content-type': 'text/html; charset=utf-8' })
    await expectRefusal(/is a web page, not a file \/ give the link of the file itself/)
  })

  it('sends other bytes than the requested range', async () => {
    server.intercept = afterFirst(2, 99, (_, response) => {
      response.writeHead(206, { 'content-range': `bytes 5-14/${checkpoint.size}`, etag: '"one"' }).end('0123456789')
      return true
    })
    await expectRefusal(/does not send the bytes that were requested/)
  })

  it('redirects in a loop', async () => {
    server.intercept = answer(302, { location: '/ltx.safetensors' })
    await expectRefusal(/redirects in circles/)
  })

  it.each([
    [401, /may not be read \(401\) \/ give a URL that opens without a login/],
    [403, /may not be read \(403\)/],
    [404, /does not exist \(404\)/],
    [416, /\(416\)/],
    [418, /answered 418/],
  ])('responds with %i, without a retry', async (status, sentence) => {
    server.intercept = answer(status)
    await expectRefusal(sentence)
    expect([server.requests.length, waits]).toEqual([1, []])
  })

  it.each([408, 429, 500, 502, 503])('responds with %i six times, with exponential backoff', async (status) => {
    server.intercept = answer(status)
    await expectRefusal(new RegExp(`answered ${status} .*, 6 times in a row / try again later`))
    expect(waits).toEqual([1, 2, 4, 8, 16])
  })

  it('cannot be reached', async () => {
    const closedServer = await serveRanges()
    await closedServer.close()
    await expectRefusal(/cannot be reached \(ECONNREFUSED\), 6 times in a row/, { from: closedServer.url('x') })
  })
})

describe('a pull continues', () => {
  it('after a 429 response, after the time in Retry-After', async () => {
    server.intercept = afterFirst(3, 1, answer(429, { 'retry-after': '7' }))
    expect(await pullError()).toBeUndefined()
    expect(waits).toEqual([7])
  })

  it('after several 503 responses', async () => {
    server.intercept = afterFirst(4, 3, answer(503))
    expect(await pullError()).toBeUndefined()
    expect(waits.length).toBe(3)
  })

  it('after a lost connection, from the byte where it was lost', async () => {
    server.intercept = afterFirst(3, 1, (request, response) => {
      const [, start, end] = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? '') ?? []
      const half = checkpoint.bytes(Number(start), Math.floor((Number(start) + Number(end)) / 2))
      const length = Number(end) + 1 - Number(start)
      const range = `bytes ${start}-${end}/${checkpoint.size}`
      response.writeHead(206, { 'content-range': range, 'content-length': length, etag: '"one"' })
      response.write(half, () => setTimeout(() => response.destroy(), 50))
      return true
    })
    expect(await pullError()).toBeUndefined()
    // What had arrived but was not yet read when the connection closed is requested again.
    const { start, end } = server.requests[3] as { start: number; end: number }
    const continuation = server.requests.find((request) => request.end === end && request.start > start)
    expect(continuation?.start).toBeLessThanOrEqual(Math.floor((start + end - 1) / 2))
  })
})

describe('a pull that is aborted while waiting for a retry', () => {
  it.each([
    ['of the header', 0],
    ['of the data', 4],
  ])('%s rejects with Interrupted immediately and does not create the output file', async (_, offset) => {
    const controller = new AbortController()
    server.intercept = afterFirst(offset, 99, (request, response, count) => {
      setTimeout(() => controller.abort(), 50)
      return answer(503, { 'retry-after': '1000' })(request, response, count)
    })
    const pulling = pullModel({ out, from: server.url('ltx.safetensors') }, { signal: controller.signal }, { env: {} })
    await expect(pulling).rejects.toMatchObject({
      name: 'Interrupted',
      message: 'stopped; what has arrived is kept',
      hint: 'run the same command again',
    })
    expect(existsSync(out)).toBe(false)
  })
})

describe('a file that is replaced on the server', () => {
  const other = (etag: string) => ({ ...syntheticCheckpoint(256, { content: 3 }), etag })

  it('during the pull is detected', async () => {
    server.intercept = afterFirst(4, 99, () => {
      server.files.set('ltx.safetensors', other('"two"'))
      return false
    })
    await expectRefusal(/was replaced by another file during the download/)
  })

  it.each([
    ['another ETag', () => other('"two"')],
    ['another size', () => ({ ...syntheticCheckpoint(128), etag: '"one"' })],
  ])('between two pulls, with %s, is not combined with the partial file', async (_, replacement) => {
    server.intercept = afterFirst(5, 99, answer(404))
    await expectRefusal(/does not exist/)
    expect(readdirSync(folder).sort()).toEqual(['audio.safetensors.partial', 'audio.safetensors.partial.journal'])
    server.intercept = undefined
    server.files.set('ltx.safetensors', replacement())
    await expectRefusal(
      /audio\.safetensors\.partial has changed since its download started \/ delete .*partial and .*journal/,
    )
    server.files.set('ltx.safetensors', good)
    expect(await pullError()).toBeUndefined()
  })
})

describe('the Hugging Face Hub', () => {
  const env = () => ({ HF_ENDPOINT: server.url('').replace(/\/$/, '') })
  const released = 'Lightricks/LTX-2.3/resolve/main/ltx-2.3-22b-dev.safetensors'

  it('is the default source, and its token is not sent to other hosts', async () => {
    server.files.set(released, good)
    const storage = await serveRanges({ blob: good })
    server.intercept = (request, response) => {
      if (!request.url?.includes('/resolve/')) return false
      response.writeHead(302, { location: storage.url('blob?signed=1'), 'x-linked-etag': '"hash"' }).end()
      return true
    }
    expect(await pullError({}, { ...env(), HF_TOKEN: 'secret' })).toBeUndefined()
    expect(server.requests.map(({ path, headers }) => [path, headers.authorization])).toEqual([
      [released, 'Bearer secret'],
    ])
    expect(storage.requests.every(({ headers }) => headers.authorization === undefined)).toBe(true)
    expect(storage.requests.length).toBeGreaterThan(3)
    await storage.close()
  })

  it('is requested again when its storage URL has expired', async () => {
    const storage = await serveRanges({ blob: good })
    server.intercept = (_, response) => {
      response.writeHead(302, { location: storage.url('blob'), 'x-linked-etag': '"hash"' }).end()
      return true
    }
    storage.intercept = afterFirst(4, 1, answer(403))
    expect(await pullError({}, env())).toBeUndefined()
    expect(server.requests.length).toBe(2)
    await storage.close()
  })

  it.each([
    [
      'GatedRepo',
      403,
      {},
      /accept the licence at .*\/Lightricks\/LTX-2\.3, and set HF_TOKEN to a token of that account/,
    ],
    ['GatedRepo', 401, {}, /accept the licence/],
    ['RepoNotFound', 401, {}, /check the name Lightricks\/LTX-2\.3; if it is private, set HF_TOKEN/],
    ['', 403, { HF_TOKEN: 'x' }, /the token in HF_TOKEN may not read Lightricks\/LTX-2\.3/],
  ])('errors are explained: "%s" (%i)', async (reason, status, more, sentence) => {
    server.intercept = answer(status, { 'x-error-code': reason })
    await expectRefusal(sentence, {}, { ...env(), ...more })
  })

  it('is not requested for an invalid source', async () => {
    await expectRefusal(/gone\/ltx\.safetensors does not exist here and is neither a URL nor a repository/, {
      from: 'gone/ltx.safetensors',
    })
    await expectRefusal(/HF_ENDPOINT is not a URL/, {}, { HF_ENDPOINT: 'nonsense' })
    await expectRefusal(/HF_ENDPOINT is not a URL: …@hub \//, {}, { HF_ENDPOINT: 'me:secret@hub' })
    await expectRefusal(/^ftp:\/\/…@host\/a does not exist here/, { from: 'ftp://me:secret@host/a' })
    const from = server.url('owner/name/resolve/main/100%.safetensors')
    await expectRefusal(/100%25\.safetensors does not exist \(404\)/, { from }, env())
    await expectRefusal(/owner\/name is not one file/, { from: 'owner/name' }, env())
  })
})

describe('pull checks the disk:', () => {
  it('missing space is reported before the download', () => {
    const plans = [{ path: join(folder, 'a'), size: 8.5e9 }]
    expect(() => requireSpace(plans, () => 2e9)).toThrow(/needs 8\.50 GB for it, but its disk has 2\.00 GB free$/)
    expect(() => requireSpace(plans, () => 9e9)).not.toThrow()
  })

  it('the size of a partial file is subtracted from the needed space', () => {
    writeFileSync(join(folder, 'a.partial'), Buffer.alloc(2 ** 20, 1))
    const plans = [{ path: join(folder, 'a'), size: 2 ** 20 + 1000 }]
    expect(() => requireSpace(plans, () => 1000)).not.toThrow()
    expect(() => requireSpace(plans, () => 500 - 8192)).toThrow(/free/)
  })

  it('the source is kept, also where its path leads through a folder that does not exist', async () => {
    const source = join(folder, 'source.safetensors')
    writeFileSync(source, good.bytes(0, good.size))
    const error = await pullError({ from: source, out: `${folder}/new/../source.safetensors` })
    expect(error).toMatch(/source\.safetensors exists already, and is not what would be pulled/)
    expect(readFileSync(source).equals(Buffer.from(good.bytes(0, good.size)))).toBe(true)
  })

  it('another file with the name of the partial file is kept', async () => {
    const partial = join(folder, 'audio.safetensors.partial')
    writeFileSync(partial, 'mine')
    expect(await pullError()).toMatch(/audio\.safetensors\.partial exists already, and is not an interrupted pull/)
    expect(readFileSync(partial, 'utf8')).toBe('mine')
  })

  it.each([
    ['ENOSPC', 'the disk is full'],
    ['EROFS', 'the disk is read-only'],
  ])('%s is reported in words', async (code, words) => {
    const failing = withDiskErrors('x.partial', () => Promise.reject(Object.assign(new Error(code), { code })))
    await expect(failing).rejects.toThrow(`x.partial cannot be written: ${words}`)
  })

  it('a file size limit is reported, and the next pull continues the partial file', async () => {
    const limited = spawnAsync(
      `ulimit -f 20 && "${process.execPath}" "${projectPath('bin/ltx-a2a.js')}" pull "${folder}/big.safetensors" --out "${out}"`,
    )
    checkpoint.writeTo(join(folder, 'big.safetensors'))
    const { stderr, status } = limited()
    expect(stderr).toContain('cannot be written: files on this disk may not be that large')
    expect(status).toBe(2)
    expect(existsSync(out)).toBe(false)
    expect(await pullError({ from: join(folder, 'big.safetensors') })).toBeUndefined()
    expect(existsSync(out)).toBe(true)
  })

  it('another existing file or folder is not overwritten', async () => {
    writeFileSync(out, 'mine')
    expect(await pullError()).toMatch(/audio\.safetensors exists already, and is not what would be pulled/)
    mkdirSync(join(folder, 'other'))
    expect(await pullError({ from: server.url('ltx.safetensors'), out: join(folder, 'other') })).toMatch(
      /exists already/,
    )
  })

  it('a file in place of a parent folder is reported', async () => {
    appendFileSync(join(folder, 'file'), 'x')
    const path = join(folder, 'file', 'audio.safetensors')
    expect(await pullError({ from: server.url('ltx.safetensors'), out: path })).toMatch(/a part of its path is a file/)
  })
})

const spawnAsync = (command: string) => () => spawnSync('bash', ['-c', command], { encoding: 'utf8' })

it('sizes are shown in decimal units', () => {
  expect([1_500_000, 158_000_000, 8_517_602_036].map(sizeText)).toEqual(['1.5 MB', '158 MB', '8.52 GB'])
})
