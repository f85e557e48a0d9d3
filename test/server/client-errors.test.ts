/** Every type of 422 error, from a running server with its worker to the official client for JavaScript. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ValidationError } from '@fal-ai/client'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { inputErrorTypes } from '../../src/queue/input-error-types.ts'
import { projectPath } from '../cli/bin.ts'
import { refusals, withPairs } from './refusals.ts'
import { type Served, startServed } from './served.ts'
import { endpoint, falClient } from './test-server.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-client-errors-'))
const env = { ...process.env, LTX_A2A_CACHE: join(folder, 'cache'), LTX_A2A_KEY: undefined }
let server: Served
let fal: ReturnType<typeof falClient>

beforeAll(async () => {
  server = await startServed(join(folder, 'data'), env)
  fal = falClient(server.url, 'any')
})
afterAll(async () => {
  await server.stop()
  rmSync(folder, { recursive: true })
})

describe('a 422 error', () => {
  it('has an example for each of its types', () => {
    expect(Object.keys(refusals)).toEqual([...inputErrorTypes])
  })

  it.each(Object.entries(refusals))('reaches the client: %s', async (type, refusal) => {
    const { input, loc, ctx, pairs = 'valid/ten-pairs.zip', webhook, isLate } = refusal
    const bytes = readFileSync(projectPath(`fixtures/zips/${pairs}`))
    const url = await fal.storage.upload(new File([bytes], 'pairs.zip', { type: 'application/zip' }))
    const submitted = fal.queue.submit(endpoint, {
      input: withPairs(input, url) as never,
      ...(webhook !== undefined && { webhookUrl: webhook }),
    })
    const error = await failure(
      isLate
        ? submitted.then(async ({ request_id: requestId }) => {
            await fal.queue.subscribeToStatus(endpoint, { requestId, pollInterval: 100 })
            return fal.queue.result(endpoint, { requestId })
          })
        : submitted,
    )
    expect(error).toBeInstanceOf(ValidationError)
    const { status, fieldErrors } = error as ValidationError
    expect(status).toBe(422)
    expect(fieldErrors).toHaveLength(1)
    expect(fieldErrors[0]).toMatchObject({
      ...{ type, loc, url: `https://docs.fal.ai/errors#${type}`, msg: expect.stringMatching(/./) },
      ...(ctx && { ctx: expect.objectContaining(ctx) }),
    })
    const field = String(loc.at(-1))
    if (loc.length === 2) expect((error as ValidationError).getFieldErrors(field)).toEqual(fieldErrors)
  })
})

/** An archive whose last entry is said to have this size. */
function withSize(size: number): Buffer {
  const bytes = Buffer.from(readFileSync(projectPath('fixtures/zips/valid/ten-pairs.zip')))
  bytes.writeUInt32LE(size, bytes.lastIndexOf('PK\u0001\u0002') + 24)
  return bytes
}

it.each([
  ['unpacks to 200 times its size', 1.5 * 2 ** 30],
  ['unpacks to more than it says', 5],
])('an archive that %s is refused, and the server lives', async (_, size) => {
  const url = await fal.storage.upload(new File([withSize(size)], 'pairs.zip', { type: 'application/zip' }))
  const error = await failure(
    fal.subscribe(endpoint, { input: withPairs(refusals.invalid_archive.input, url) as never, pollInterval: 100 }),
  )
  expect(error).toMatchObject({
    status: 422,
    body: { detail: [{ loc: ['body', 'training_data_url'], type: 'invalid_archive', msg: expect.any(String) }] },
  })
  expect((await fetch(`${server.url}/health`)).status).toBe(200)
})

const failure = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => Promise.reject(new Error('it succeeded')),
    (error) => error,
  )
