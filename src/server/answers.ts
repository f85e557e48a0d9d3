/** Requests as the API shows them. */
import type { LogLine, QueuedRequest } from '../queue/request.ts'
import { detailText, HttpError } from './http-error.ts'
import { fileObject, isKey, type StoredFiles } from './stored-files.ts'

/**
 * The status of a request.
 * @param base the URL of the server.
 * @param position in the queue, where it is waiting.
 * @param logs null where none were asked for: clients read the key without looking whether it is there.
 */
export function statusOf(
  request: QueuedRequest,
  { base, position, logs }: { base: string; position: number; logs: readonly LogLine[] | null },
) {
  const { id, status, error, startedAt, workedSeconds } = request
  const url = requestUrl(base, request)
  return {
    status,
    request_id: id,
    response_url: url,
    status_url: `${url}/status`,
    cancel_url: `${url}/cancel`,
    ...(status === 'IN_QUEUE' && { queue_position: position }),
    logs,
    metrics: status === 'COMPLETED' && startedAt ? { inference_time: workedSeconds } : {},
    ...(status === 'COMPLETED' &&
      error && {
        error: detailText(error.detail),
        ...(error.type !== undefined && { error_type: error.type }),
      }),
  }
}

/** Its owner and app, without what follows in the path of the endpoint. */
const requestUrl = (base: string, { endpoint, id }: QueuedRequest) =>
  `${base}/${endpoint.split('/').slice(0, 2).join('/')}/requests/${id}`

/** The output of a request, with a file object in place of each key. @throws HttpError 404 for a file that is gone. */
export async function outputOf(output: Readonly<Record<string, unknown>>, base: string, files: StoredFiles) {
  const entries = Object.entries(output).map(async ([name, value]) => {
    if (typeof value !== 'string' || !isKey(value)) return [name, value] as const
    const file = await files.find(value)
    if (!file) throw new HttpError(404, `The file of ${name} was removed`, { type: 'file_removed' })
    return [name, fileObject(base, file)] as const
  })
  return Object.fromEntries(await Promise.all(entries))
}
