/** Errors as the API answers them. */
import type { Context } from 'hono'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import type { ErrorDetail, RequestError } from '../queue/request.ts'

/** A refusal of a request. Thrown by routes, answered by the app. */
export class HttpError extends Error {
  override readonly name = 'HttpError'
  readonly error: RequestError
  readonly headers: Readonly<Record<string, string>>

  /** @param type the header `X-Fal-Error-Type`. */
  constructor(
    status: number,
    detail: RequestError['detail'],
    { type, headers = {} }: { type?: string; headers?: Readonly<Record<string, string>> } = {},
  ) {
    super(detailText(detail))
    this.error = { status, detail, type }
    this.headers = headers
  }
}

/** The answer that a client of the hosted API understands: `{detail}`, with `error_type` and its header where the input is not at fault. */
export function answerError(c: Context, error: RequestError, headers: Readonly<Record<string, string>> = {}) {
  for (const [name, value] of Object.entries(headers)) c.header(name, value)
  if (error.type !== undefined) c.header('X-Fal-Error-Type', error.type)
  const detail = typeof error.detail === 'string' ? error.detail : error.detail.map(withUrl)
  if (error.status === 422) c.header('X-Fal-Retryable', 'false')
  const status = error.status as ContentfulStatusCode
  return c.json({ detail, ...(error.type !== undefined && { error_type: error.type }) }, status)
}

/** One line for the `error` of a status. */
export const detailText = (detail: RequestError['detail']) =>
  typeof detail === 'string'
    ? detail
    : detail.map(({ loc, msg }) => [...loc.slice(1).map(String), msg].join(': ')).join('; ')

/** Every finding names the page that explains its type. */
const withUrl = (detail: ErrorDetail) => ({ url: `https://docs.fal.ai/errors#${detail.type}`, ...detail })
