/**
 * Webhooks: what came of a request is POSTed to the URL that the client gave, signed so that the receiver can check who sent it. A receiver may get it more
 * than once.
 */
import { createHash } from 'node:crypto'
import { discard, type HttpClient, request } from '../net/http-client.ts'
import { TransientError } from '../net/retry.ts'
import { UserError } from '../platform/errors.ts'
import type { RequestError } from '../queue/request.ts'
import type { SigningKey } from './signing-key.ts'

/** What the receiver gets. */
export type WebhookPayload = {
  request_id: string
  gateway_request_id: string
} & (
  | { status: 'OK'; payload: Readonly<Record<string, unknown>> }
  | { status: 'ERROR'; error: string; payload: Pick<RequestError, 'detail'> & { error_type?: string } }
)

/** @param result the output as the API answers it, with the URLs of files, or the error. */
export function webhookPayload(
  id: string,
  result: { output: Readonly<Record<string, unknown>> } | { error: RequestError },
): WebhookPayload {
  const ids = { request_id: id, gateway_request_id: id }
  if ('output' in result) return { ...ids, status: 'OK', payload: result.output }
  const { status, detail, type } = result.error
  const payload = { detail, ...(type !== undefined && { error_type: type }) }
  return { ...ids, status: 'ERROR', error: `Invalid status code: ${status}`, payload }
}

/** How far a delivery is, as plain JSON for the database. */
export type WebhookDelivery = {
  url: string
  /** How often it was tried. */
  attempts: number
  /** When it is tried next, in ISO 8601; null when it will not be tried again. */
  nextAt: string | null
}

/** A delivery that is due at once. */
export const newDelivery = (url: string, now: Date): WebhookDelivery => ({
  url,
  attempts: 0,
  nextAt: now.toISOString(),
})

/** The state after another attempt that failed. */
export function afterFailure({ url, attempts }: WebhookDelivery, now: Date): WebhookDelivery {
  const pause = attempts < maxRetries ? firstPause * 2 ** attempts : undefined
  const nextAt = pause === undefined ? null : new Date(now.getTime() + pause * 1000).toISOString()
  return { url, attempts: attempts + 1, nextAt }
}

/** As the hosted service documents it: 10 retries in 2 hours. The pauses are 7 s, 14 s, … and 60 min, 7161 s in all. */
const maxRetries = 10
const firstPause = 7

/** Seconds until the receiver must have answered, as the hosted service documents it. */
const answerSeconds = 15

export type WebhookOptions = {
  key: SigningKey
  /** One with a guard, unless webhooks may lead into the network of this machine. */
  client: HttpClient
  signal: AbortSignal
}

/**
 * One attempt. Only an answer of 2xx counts: after any other, also after 4xx and redirects, which are not followed, it should be tried again later.
 * @returns why it failed; undefined when it was delivered.
 * @throws the reason of the signal when it is aborted.
 */
export async function deliverWebhook(
  url: string,
  payload: WebhookPayload,
  { key, client, signal }: WebhookOptions,
): Promise<string | undefined> {
  const target = new URL(url)
  const body = JSON.stringify(payload)
  const deadline = AbortSignal.timeout(answerSeconds * 1000)
  const headers = { 'content-type': 'application/json', ...signatureHeaders(key, payload.request_id, body, new Date()) }
  try {
    const either = AbortSignal.any([signal, deadline])
    const response = await request(client, target, target, { method: 'POST', headers, body, signal: either })
    await discard(response)
    return response.ok ? undefined : `the receiver answered ${response.status}`
  } catch (error) {
    signal.throwIfAborted()
    if (deadline.aborted) return `the receiver did not answer within ${answerSeconds} s`
    if (error instanceof TransientError || error instanceof UserError) return error.message
    throw error
  }
}

/** Some receivers compare it; the server has one user. */
export const webhookUserId = 'ltx-a2a'

/** The signature covers the ids, the time in seconds, and the hash of the exact body. Receivers refuse times that are more than 5 minutes off. */
export function signatureHeaders(key: SigningKey, requestId: string, body: string, now: Date): Record<string, string> {
  const timestamp = String(Math.floor(now.getTime() / 1000))
  const hash = createHash('sha256').update(body).digest('hex')
  return {
    'x-fal-webhook-request-id': requestId,
    'x-fal-webhook-user-id': webhookUserId,
    'x-fal-webhook-timestamp': timestamp,
    'x-fal-webhook-signature': key.sign([requestId, webhookUserId, timestamp, hash].join('\n')),
  }
}
