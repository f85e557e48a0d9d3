/** The history: all requests, the newest first. */
import { trainParameters } from '../../config/parameters.ts'
import type { QueuedRequest } from '../../queue/request.ts'
import { html, type Markup } from '../../report/page/page.ts'
import { placeName } from './page-files.ts'
import { isActive, lossText, requestTitle, stateBadge, timeOf } from './request-text.ts'

/** @param next the id that the next page begins after; undefined on the last page. @param isFirst whether this is the first page. */
export function requestList(
  root: string,
  requests: readonly QueuedRequest[],
  { next, isFirst }: { next: string | undefined; isFirst: boolean },
): Markup {
  if (requests.length === 0)
    return html`<p>${isFirst ? 'Nothing was asked of this server yet.' : 'There are no older requests.'} <a href="${root}/">Train a LoRA</a></p>`
  return html`<section data-refresh="${String(requests.some(isActive))}"><div class="scroll"><table class="requests stacks" aria-label="Requests, the newest first"><thead><tr><th scope="col">request</th><th scope="col">status</th><th scope="col" class="number">steps</th><th scope="col" class="number">loss</th><th scope="col">submitted</th></tr></thead>
<tbody>${requests.map((request) => row(root, request))}</tbody></table></div></section>
<p class="actions">${!isFirst && html`<a class="button" href="${root}/requests">Newest</a>`}${next !== undefined && html`<a class="button" rel="next" href="${root}/requests?before=${next}">Older</a>`}</p>`
}

function row(root: string, request: QueuedRequest): Markup {
  const { id, kind, progress, submittedAt } = request
  const title = requestTitle(request)
  const source = placeName(request.parameters.training_data_url)
  return html`<tr><td><a href="${root}/requests/${id}">${title === '' ? id : title}</a>${source !== '' && source !== title && html`<br><small>${source}</small>`}</td><td>${stateBadge(request)}</td><td class="number" data-label="steps">${kind === 'train' ? stepsText(request) : '–'}</td><td class="number" data-label="loss">${lossText(progress?.loss)}</td><td data-label="submitted">${timeOf(submittedAt)}</td></tr>\n`
}

/** `120 of 2000` of what has begun, else how many there are in all. */
function stepsText(request: QueuedRequest): string {
  const { progress, parameters } = request
  const all = String(parameters.number_of_steps ?? trainParameters.number_of_steps.default)
  return progress?.step !== undefined && isActive(request) ? `${progress.step} of ${all}` : all
}
