/** The page of a request: how far it is, its loss, log, sounds and files. Its parts are rendered again while it runs. */
import { join } from 'node:path'
import { durationText, shownValue, sizeText } from '../../platform/text.ts'
import type { LogLine, QueuedRequest } from '../../queue/request.ts'
import { evaluationChart, lossCharts, type StepMetrics } from '../../report/loss-curves.ts'
import { definitionList, html, type Markup, section } from '../../report/page/page.ts'
import { labelOf } from './labels.ts'
import {
  isSound,
  newestLora,
  type PageFiles,
  placeName,
  type RunFile,
  runFiles,
  runFolderOf,
  urlOfPlace,
} from './page-files.ts'
import { isActive, isResumable, requestTitle, stateBadge, stateOf, textOf, timeOf } from './request-text.ts'

export type RequestView = {
  request: QueuedRequest
  /** Requests before it. */
  position: number
  metrics: readonly StepMetrics[]
  /** What it has written so far. */
  written: readonly RunFile[]
}

export type RequestParts = Readonly<Record<'status' | 'summary' | 'actions' | 'charts' | 'sounds' | 'files', Markup>>

export const metricsPath = (files: PageFiles, id: string) => join(runFolderOf(files, id), 'metrics.jsonl')

export const viewOf = (
  files: PageFiles,
  request: QueuedRequest,
  position: number,
  metrics: readonly StepMetrics[],
): RequestView => ({ request, position, metrics, written: runFiles(files, request.id) })

export function requestParts(root: string, files: PageFiles, view: RequestView): RequestParts {
  const { request, metrics, written } = view
  const lastStep = metrics.at(-1)?.step ?? 0
  const isEvaluated = metrics.some(({ held_out_loss }) => held_out_loss !== undefined)
  return {
    status: statusLine(request),
    summary: summary(view),
    actions: actions(root, files, request, written),
    charts:
      metrics.length > 0
        ? section(
            'Progress',
            isEvaluated ? html`<div class="charts">${evaluationChart(metrics, lastStep)}</div><br>` : undefined,
            lossCharts(metrics, lastStep),
          )
        : html``,
    sounds: request.kind === 'train' ? previewSounds(files, request, written) : resultSounds(files, request, written),
    files: written.length > 0 ? section('Files', fileList(files, written)) : html``,
  }
}

export function requestContent(
  root: string,
  parts: RequestParts,
  { request }: RequestView,
  log: { lines: readonly LogLine[]; count: number },
): Markup {
  const part = (name: keyof RequestParts, attributes: Markup = html``) =>
    html`<div data-part="${name}"${attributes}>${parts[name]}</div>\n`
  return html`<div data-state="${root}/requests/${request.id}/state.json" data-active="${String(isActive(request))}">
${part('status', html` role="status" id="status" tabindex="-1"`)}${part('summary')}${part('actions')}${part('sounds')}${part('charts')}
<section><h2 id="log-title">Log</h2><pre tabindex="0" role="region" aria-labelledby="log-title" data-lines="${log.count}">${log.lines.map((line) => html`<span class="${line.level}">${logTime(line)} ${line.message}\n</span>`)}</pre></section>
${part('files')}
${section('Settings', definitionList(Object.entries(request.input).map(([name, value]) => [labelOf(name), settingText(value)] as const)))}
</div>`
}

/** In UTC; the script of the pages shows the time of the reader. */
const logTime = ({ timestamp }: LogLine) => html`<time datetime="${timestamp}">${timestamp.slice(11, 19)}</time>`

/** What it is made from, when it was submitted, and its id. */
export const requestLead = ({ parameters, submittedAt, id }: QueuedRequest): Markup =>
  html`${placeName(parameters.training_data_url)} <span class="faint">submitted ${timeOf(submittedAt)} · ${id}</span>`

/** What a screen reader speaks when it changes: not every step. */
function statusLine(request: QueuedRequest): Markup {
  const { status, startedAt, workedSeconds } = request
  const isWorked = status === 'COMPLETED' && startedAt !== undefined
  const time = isWorked ? html` after ${durationText(workedSeconds)}` : html``
  return html`<p>${stateBadge(request)}${time}</p>`
}

function summary({ request: { status, progress, error }, position }: RequestView): Markup {
  const waiting = position === 0 ? 'It is the next one.' : `${position} before it.`
  return html`${status === 'IN_QUEUE' && html`<p>${waiting}</p>`}${status === 'IN_PROGRESS' && progressBar(progress)}${error && errorText(error)}`
}

function progressBar(progress: QueuedRequest['progress']): Markup {
  if (!progress)
    return html`<div class="progress"><progress aria-label="Starting"></progress><span>Starting</span></div>`
  const { stage, done, total, loss } = progress
  const bar =
    total > 0
      ? html`<progress max="${total}" value="${done}" aria-label="${stage}"></progress>`
      : html`<progress aria-label="${stage}"></progress>`
  return html`<div class="progress">${bar}<span>${stage}${total > 0 && `: ${Math.floor(done + 1e-6)} of ${total}`}${stage === 'Training' && loss !== undefined && ` · loss ${loss.toFixed(4)}`}</span></div>`
}

function errorText({ detail, status }: NonNullable<QueuedRequest['error']>): Markup {
  if (status === 499) return html`<p class="faint">What it has written is kept.</p>`
  if (typeof detail === 'string') return html`<p class="bad">${detail}</p>`
  return html`<ul class="bad">${detail.map(
    ({ loc, msg }) =>
      html`<li>${loc
        .slice(1)
        .map((key) => labelOf(String(key)))
        .join(', ')}: ${msg}</li>`,
  )}</ul>`
}

function actions(root: string, files: PageFiles, request: QueuedRequest, written: readonly RunFile[]): Markup {
  const { id, kind } = request
  const path = `${root}/requests/${id}`
  const post = (action: string, text: string, isOff = false) =>
    html`<form method="post" action="${path}/${action}"><button${isOff && html` disabled`}>${text}</button></form>`
  const lora = kind === 'train' ? newestLora(written) : undefined
  const report = written.find(({ name }) => name === 'report.html')
  const isFinished = stateOf(request).word === 'finished'
  return html`<div class="actions">${isActive(request) && post('cancel', request.cancelRequested ? 'Cancelling …' : 'Cancel', request.cancelRequested)}${isResumable(files, request) && post('resume', kind === 'train' ? 'Resume' : 'Try again')}${
    lora &&
    html`<a class="button" href="${files.urlOf(lora.key)}" download>Download the LoRA${!isFinished && ' so far'}</a>`
  }${lora && isFinished && html`<a class="button" href="${root}/play?lora=${id}">Try it</a>`}${report && html`<a class="button" href="${files.urlOf(report.key)}">Report</a>`}${kind === 'train' && html`<a class="button" href="${root}/?from=${id}">Train again with these settings</a>`}<a class="button" href="${path}/job.json" download>Job as JSON</a>${!isActive(request) && html`<a class="button" href="${path}/delete">Delete …</a>`}</div>`
}

/** The question that is answered with a click, with or without a script. */
export function deletionForm(root: string, request: QueuedRequest): Markup {
  const path = `${root}/requests/${request.id}`
  const title = requestTitle(request)
  if (isActive(request)) return html`<p>${title} is not finished. <a href="${path}">Cancel it first.</a></p>`
  return html`<p><b>${title}</b>, submitted ${timeOf(request.submittedAt)}, will be removed with its files: ${request.kind === 'train' ? 'the LoRA, its checkpoints and previews' : 'the results'}, the log, and the uploads that no other request uses. This cannot be undone.</p>
<form method="post" action="${path}/delete" class="actions"><button class="primary">Delete</button><a class="button" href="${path}">Keep it</a></form>`
}

const previewName = /^previews\/preview-(\d+)-(\d+|best)\.wav$/

/** Each clip: its reference, then its previews, the newest first. */
function previewSounds(files: PageFiles, { parameters }: QueuedRequest, written: readonly RunFile[]): Markup {
  const previews = written.flatMap(({ key, name }) => {
    const [, number, step] = previewName.exec(name) ?? []
    return number === undefined || step === undefined ? [] : [{ number: Number(number), step, url: files.urlOf(key) }]
  })
  const validation = Array.isArray(parameters.validation) ? parameters.validation : []
  return html`${[...new Set(previews.map(({ number }) => number))]
    .sort((a, b) => a - b)
    .map((number) => {
      const { reference_audio_url: place, prompt } = validation[number - 1] ?? {}
      const reference = urlOfPlace(files, place)
      const newest = previews.filter((preview) => preview.number === number).reverse()
      return section(
        `Preview ${number}${place === undefined ? ': held-out pair' : ''}`,
        prompt ? html`<p>Prompt: <b>${textOf(prompt)}</b></p>` : undefined,
        html`<div class="cards">${reference !== undefined && soundPlayer('reference', reference)}${newest.slice(0, mostPreviews).map(({ step, url }) => soundPlayer(stepText(step), url))}</div>`,
        newest.length > mostPreviews ? html`<p class="faint">Older previews are among the files.</p>` : undefined,
      )
    })}`
}

const mostPreviews = 11

const stepText = (step: string) =>
  step === 'best' ? 'best.safetensors' : Number(step) === 0 ? 'step 0: the base' : `step ${Number(step)}`

/** The recordings of the playground, each beside what was made of it. */
function resultSounds(files: PageFiles, request: QueuedRequest, written: readonly RunFile[]): Markup {
  const { parameters } = request
  const inputs = [parameters.inputs].flat()
  const results = written.filter(isSound)
  const settings = [
    ...['prompt', 'lora_strength', 'steps', 'cfg', 'seed'].flatMap((name) =>
      parameters[name] === undefined ? [] : [`${labelOf(name)} ${settingText(parameters[name])}`],
    ),
  ]
  return section(
    'Recording and result',
    settings.length > 0 ? html`<p class="faint">${settings.join(' · ')}</p>` : undefined,
    html`<div class="pair">${inputs.map((place) => {
      const url = urlOfPlace(files, place)
      return url === undefined ? html`` : soundPlayer(`recording: ${placeName(place)}`, url)
    })}${results.map(({ key, name }) => soundPlayer(`result: ${name}`, files.urlOf(key), resultName(request, name)))}</div>`,
  )
}

/** Several results of a recording are told apart: `take 1a2b3c4d.wav`. */
const resultName = ({ id }: QueuedRequest, name: string) => name.replace(/(?=\.[^.]*$)/, ` ${id.slice(0, 8)}`)

/** @param saveAs the name under which it can be downloaded. */
const soundPlayer = (title: string, url: string, saveAs?: string): Markup =>
  html`<figure data-sound><figcaption><strong>${title}</strong></figcaption><div class="picture"><canvas aria-hidden="true"></canvas><i></i></div><audio controls preload="metadata" src="${url}" aria-label="${title}"></audio>${saveAs !== undefined && html`<a href="${url}?as=${encodeURIComponent(saveAs)}" download="${saveAs}">Download</a>`}</figure>\n`

const fileList = (files: PageFiles, written: readonly RunFile[]): Markup =>
  html`<ul class="files">${written.map(({ key, name, bytes }) => html`<li><a href="${files.urlOf(key)}"${!/\.html$/.test(name) && html` download`}>${name}</a><span class="faint">${sizeText(bytes)}</span></li>`)}</ul>`

const settingText = (value: unknown): string =>
  typeof value === 'string'
    ? /^https?:/.test(value)
      ? placeName(value)
      : value
    : Array.isArray(value) && value.every((item) => typeof item !== 'object')
      ? value.join(', ')
      : Array.isArray(value)
        ? `${value.length}`
        : typeof value === 'object'
          ? shownValue(value)
          : String(value)
