/** Bodies of requests: bounded in size and in time. */
import type { Context } from 'hono'
import { parseJson } from '../platform/json.ts'
import { decodeText } from '../platform/text.ts'
import { HttpError } from './http-error.ts'
import type { ServerLimits } from './limits.ts'

type BodyLimits = { bytes: number; silenceSeconds: number; seconds: number }

/** Clients that get one of these still send: the connection is of no further use. */
const closing = { headers: { connection: 'close' } }

export const tooLarge = (bytes: number) =>
  new HttpError(413, `The body has more than ${bytes} bytes`, { type: 'file_too_large', ...closing })

/** @throws HttpError 413 for a body that is too large, 408 for one that is too slow. */
export async function* readBody(
  c: Context,
  { bytes, silenceSeconds, seconds }: BodyLimits,
): AsyncGenerator<Uint8Array> {
  if (Number(c.req.header('content-length') ?? 0) > bytes) throw tooLarge(bytes)
  const reader = c.req.raw.body?.getReader()
  if (!reader) return
  const end = Date.now() + 1000 * seconds
  let received = 0
  for (;;) {
    const { done, value } = await withTimeout(reader.read(), Math.min(1000 * silenceSeconds, end - Date.now()))
    if (done) return
    received += value.length
    if (received > bytes) throw tooLarge(bytes)
    yield value
  }
}

/** The JSON of a body; undefined where it is empty. @throws HttpError 422 for text that is not JSON, and for an object that has a key twice. */
export async function readJson(c: Context, limits: ServerLimits): Promise<unknown> {
  const chunks: Uint8Array[] = []
  const { jsonBytes: bytes, silenceSeconds, jsonSeconds: seconds } = limits
  for await (const chunk of readBody(c, { bytes, silenceSeconds, seconds })) chunks.push(chunk)
  const text = decodeText(Buffer.concat(chunks))
  if (text === '') return undefined
  if (text === undefined) throw invalidJson('not UTF-8 text')
  if (isDeep(text)) throw invalidJson('nested too deeply')
  return parseJson(text, {
    invalid: () => invalidJson('JSON decode error'),
    repeated: (key) => invalidJson(`${key.slice(0, 100)} is there twice`),
  })
}

/** Whether lists and objects are nested deeper than any input has them: what reads them calls itself. */
function isDeep(text: string): boolean {
  let [depth, isText] = [0, false]
  for (let i = 0; i < text.length; i++) {
    const character = text[i]
    if (isText && character === '\\') i++
    else if (character === '"') isText = !isText
    else if (!isText && (character === '[' || character === '{') && ++depth > deepest) return true
    else if (!isText && (character === ']' || character === '}')) depth--
  }
  return false
}

const deepest = 50

const invalidJson = (msg: string) => new HttpError(422, [{ loc: ['body'], msg, type: 'json_invalid' }])

async function withTimeout<T>(work: Promise<T>, milliseconds: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_, reject) => {
    const refuse = () => reject(new HttpError(408, 'The body took too long', { type: 'request_timeout', ...closing }))
    timer = setTimeout(refuse, milliseconds)
  })
  try {
    return await Promise.race([work, timeout])
  } finally {
    clearTimeout(timer)
  }
}
