/** What the pages say about a request. */
import type { QueuedRequest } from '../../queue/request.ts'
import { html, type Markup } from '../../report/page/page.ts'
import { hasState, type PageFiles, placeName } from './page-files.ts'

export const isActive = ({ status }: QueuedRequest) => status !== 'COMPLETED'

/** Whether it has stopped, and there is something to go on with. A recording is transformed again from the start. */
export const isResumable = (files: PageFiles, { id, kind, status, error }: QueuedRequest) =>
  status === 'COMPLETED' && error !== undefined && (kind === 'apply' || hasState(files, id))

type State = { word: string; color: 'good' | 'fair' | 'bad' | 'active' | 'faint' }

export function stateOf({ status, cancelRequested, error }: QueuedRequest): State {
  if (status === 'COMPLETED') {
    if (!error) return { word: 'finished', color: 'good' }
    return error.status === 499 ? { word: 'cancelled', color: 'fair' } : { word: 'failed', color: 'bad' }
  }
  if (cancelRequested) return { word: 'cancelling', color: 'fair' }
  return status === 'IN_QUEUE' ? { word: 'waiting', color: 'faint' } : { word: 'running', color: 'active' }
}

export function stateBadge(request: QueuedRequest): Markup {
  const { word, color } = stateOf(request)
  return html`<span class="status ${color}">${word}</span>`
}

/** What it is called: its trigger phrase, or what it is made from. */
export function requestTitle({ kind, parameters }: QueuedRequest): string {
  if (kind === 'apply') return `Playground: ${placeName([parameters.inputs].flat()[0])}`
  const phrase = textOf(parameters.trigger_phrase)
  return phrase || placeName(parameters.training_data_url)
}

/** Times are in UTC: the server does not know where its readers are. The script of the pages shows theirs. */
export const timeText = (date: Date) => `${date.toISOString().slice(0, 16).replace('T', ' ')} UTC`

export const timeOf = (date: Date): Markup => html`<time datetime="${date.toISOString()}">${timeText(date)}</time>`

export const lossText = (loss: number | undefined) => (loss === undefined ? '–' : loss.toFixed(4))

export const textOf = (value: unknown) => (typeof value === 'string' ? value : '')
