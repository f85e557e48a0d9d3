/**
 * Webhooks: what came of a request is POSTed to the URL that the client gave, signed so that the receiver can check who sent it. A receiver may get it more
 * than once.
 */
import { createHash } from 'node:crypto'
import { clientUrl } from '../net/guard.ts'
import { discard, type HttpClient, request } from '../net/http-client.ts'
import { TransientError } from '../net/retry.ts'
import { mapConcurrently } from '../platform/concurrency.ts'
import { UserError } from '../platform/errors.ts'
import type { DueWebhook, Queue } from '../queue/queue.ts'
import type { QueuedRequest, RequestError } from '../queue/request.ts'
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

/**
 * When a webhook is called again.
 * @param attempts how often it was called without success, at least once.
 * @returns undefined where it is given up.
 */
export const nextCall = (attempts: number, now = new Date()): Date | undefined =>
  attempts > maxRetries ? undefined : new Date(now.getTime() + 1000 * firstPause * 2 ** (attempts - 1))

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
  const body = JSON.stringify(payload)
  const deadline = AbortSignal.timeout(answerSeconds * 1000)
  const headers = { 'content-type': 'application/json', ...signatureHeaders(key, payload.request_id, body, new Date()) }
  try {
    const target = clientUrl(url, undefined) // the client checks the address
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

export type CallOptions = WebhookOptions & {
  /** The output of a request as the API answers it, with the URLs of files. */
  outputOf(output: NonNullable<QueuedRequest['output']>): Promise<Readonly<Record<string, unknown>>>
  /** Gets why a receiver did not take a webhook. */
  warn(message: string, requestId: string): void
  /** Called for each that was delivered. */
  delivered?(requestId: string): void
  /** Gets what is not the receiver's fault. The webhook is called again later. */
  onError(error: unknown): void
}

/** A receiver may take all of its time, and the others must not wait for it. */
const callsAtOnce = 8

/**
 * Calls the webhooks that are due. Called every few seconds, by one or more processes. Those that are interrupted by the signal are due again later.
 * @throws what the queue throws.
 */
export async function callWebhooks(queue: Pick<Queue, 'dueWebhook'>, options: CallOptions): Promise<void> {
  const next = async () => (options.signal.aborted ? undefined : queue.dueWebhook())
  const first = await next()
  if (!first) return
  const starts = [first, ...Array.from({ length: callsAtOnce - 1 }, () => undefined)]
  await mapConcurrently(starts, callsAtOnce, async (start) => {
    for (let due = start ?? (await next()); due; due = await next()) await call(due, options)
  })
}

async function call({ request, attempts, called }: DueWebhook, options: CallOptions) {
  const { warn, onError, signal } = options
  const again = nextCall(attempts + 1)
  const outlook = again ? `it is called again at ${again.toISOString()}` : `it is given up after ${attempts + 1} calls`
  let isDelivered = false
  try {
    const failure = await deliverWebhook(request.webhook ?? '', await payloadOf(request, options), options)
    isDelivered = failure === undefined
    if (isDelivered) options.delivered?.(request.id)
    else warn(`the webhook of request ${request.id} failed: ${failure}; ${outlook}`, request.id)
  } catch (error) {
    if (signal.aborted) return
    onError(error)
  }
  await called(isDelivered ? undefined : again)
}

const payloadOf = async ({ id, output = {}, error }: QueuedRequest, { outputOf }: CallOptions) =>
  webhookPayload(id, error ? { error } : { output: await outputOf(output) })
