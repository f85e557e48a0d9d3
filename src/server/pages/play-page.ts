/** The playground: a trained LoRA and a recording, and what the one makes of the other. */
import { z } from 'zod'
import type { Parameter } from '../../config/parameter.ts'
import { applyParameters } from '../../config/parameters.ts'
import type { ErrorDetail, NewRequest, QueuedRequest } from '../../queue/request.ts'
import { fileScheme } from '../../queue/request.ts'
import { html, type Markup } from '../../report/page/page.ts'
import { bundledGuidance, field } from './fields.ts'
import { newestLora, type PageFiles, placeName, runFiles } from './page-files.ts'
import { requestTitle, stateBadge, timeOf, timeText } from './request-text.ts'

/** Endpoint of requests that only the page makes: the hosted trainer has no such one. */
export const playEndpoint = 'ltx-a2a/apply'

const { inputs, prompt, lora_strength, steps, cfg, stg_scale, seed, mix, negative_prompt, renderer } = applyParameters

/** The parameters of the form. One recording and one strength take the place of lists. */
const fields: Readonly<Record<string, Parameter>> = {
  inputs: { ...inputs, help: 'the recording to transform', isList: false },
  prompt: { ...prompt, help: 'what the recording should become; without one, the trigger phrase of the LoRA' },
  lora_strength: {
    ...lora_strength,
    schema: z.number().min(-10).max(10),
    range: '-10 to 10',
    default: 1,
    isList: false,
    help: 'how strongly the LoRA works',
  },
  steps,
  cfg,
  seed,
  mix,
  stg_scale,
  negative_prompt,
  renderer,
}

const first = ['inputs', 'prompt', 'lora_strength', 'steps', 'cfg', 'seed']

/** The LoRA of a finished training: the one with the lowest held-out loss where there is one. */
export function loraOf(files: PageFiles, { id, kind, status, error }: QueuedRequest): string | undefined {
  if (kind !== 'train' || status !== 'COMPLETED' || error) return undefined
  return newestLora(runFiles(files, id))?.key
}

/** `tonech4nge (pairs.zip)` */
function nameOf(training: QueuedRequest): string {
  const [title, source] = [requestTitle(training), placeName(training.parameters.training_data_url)]
  return source === '' || source === title ? title : `${title} (${source})`
}

export type PlayForm = {
  root: string
  uploadUrl: string
  /** Finished trainings with a LoRA, the newest first. */
  trainings: readonly QueuedRequest[]
  /** The id of the one that is chosen. */
  chosen?: string | undefined
  /** Earlier results. */
  recent: readonly QueuedRequest[]
}

export function playForm({ root, uploadUrl, trainings, chosen, recent }: PlayForm): Markup {
  if (trainings.length === 0)
    return html`<p>There is no finished training with a LoRA yet. <a href="${root}/">Train one</a></p>`
  const isBundled = trainings.every(({ parameters }) => parameters.model === undefined)
  const control = (name: string) =>
    field(name, fields[name] as Parameter, {
      table: fields,
      value: isBundled ? bundledGuidance[name] : undefined,
      ...(name === 'inputs' && { accept: 'audio/*', mayBeRemote: false }),
    })
  const option = (training: QueuedRequest) =>
    html`<option value="${training.id}"${training.id === chosen && html` selected`} data-title="${nameOf(training)}" data-time="${training.submittedAt.toISOString()}">${nameOf(training)}, ${timeText(training.submittedAt)}</option>`
  return html`<form class="job" data-submit="${root}/play" data-next="${root}/requests" data-upload-url="${uploadUrl}" data-results novalidate>
<fieldset><legend>LoRA and recording</legend><div class="fields">
<div class="field wide" data-field="lora"><label for="lora">LoRA</label><select id="lora" name="lora" data-kind="text" data-default="" data-required aria-describedby="lora-error">${trainings.map(option)}</select><p class="error" id="lora-error"></p></div>
${first.map(control)}</div><details><summary>More</summary><div class="fields">${Object.keys(fields)
    .filter((name) => !first.includes(name))
    .map(control)}</div></details></fieldset>
<div class="submit"><p class="error" role="alert" data-form-error></p><button class="primary">Transform</button> <span class="faint" role="status"></span></div>
</form><div data-result-list></div>
${recent.length > 0 && html`<section><h2>Earlier results</h2><ul>${recent.map((request) => html`<li><a href="${root}/requests/${request.id}">${requestTitle(request)}</a> ${stateBadge(request)} <span class="faint">${timeOf(request.submittedAt)}</span></li>`)}</ul></section>`}`
}

/** Of a training, what its LoRA needs to be used: the base that it fits. */
const modelParameters = ['model', 'text_encoder', 'text_embeddings', 'backend']

/**
 * The request that the form stands for, or what is wrong with it.
 * @param lora its training and its key.
 * @param recording the key of the recording.
 */
export function playRequest(
  input: Readonly<Record<string, unknown>>,
  lora: { training: QueuedRequest; key: string } | undefined,
  recording: string | undefined,
): NewRequest | ErrorDetail[] {
  const findings: ErrorDetail[] = []
  const refuse = (name: string, msg: string) => findings.push({ loc: ['body', name], msg, type: 'value_error' })
  if (!lora) refuse('lora', 'This training has no LoRA')
  if (recording === undefined)
    refuse('inputs', input.inputs === undefined ? 'Choose a recording' : 'This server has no such file: upload it')
  const values: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(input)) {
    if (name === 'lora' || name === 'inputs') continue
    const parameter = Object.hasOwn(fields, name) ? fields[name] : undefined
    const result = parameter?.schema.safeParse(value)
    if (result?.success) values[name] = result.data
    else refuse(name, `The value ${result?.error.issues[0]?.message ?? 'is not expected'}`)
  }
  if (!lora || recording === undefined || findings.length > 0) return findings
  const { lora_strength: strength = 1, ...rest } = values
  const model = Object.entries(lora.training.parameters).filter(([name]) => modelParameters.includes(name))
  return {
    kind: 'apply',
    endpoint: playEndpoint,
    input,
    parameters: {
      ...Object.fromEntries(model),
      ...rest,
      lora: [fileScheme + lora.key],
      lora_strength: [strength],
      inputs: [fileScheme + recording],
    },
    priority: 'normal',
  }
}
