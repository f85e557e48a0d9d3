/** The form of the trainer: what its hosted namesake has first, then, folded, what only this one has. */
import type { Parameter, Parameters } from '../../config/parameter.ts'
import { html, type Markup } from '../../report/page/page.ts'
import { field, previewField } from './fields.ts'
import { labelOf } from './labels.ts'

/** The inspection depends on them. */
export const inspectedParameters: readonly string[] = [
  'training_data_url',
  'trigger_phrase',
  'audio_duration_seconds',
  'windows',
  'audio_normalize',
  'audio_preserve_pitch',
]

/** Parameters of the schema that a form has no use for: splitting must stay off, and the server chooses the folder. */
const withoutField: readonly string[] = ['split_input_into_scenes', 'split_input_duration_threshold', 'out']

/** Places on the machine of the server. */
const localPlaces: readonly string[] = ['model', 'text_encoder']

export type TrainForm = {
  parameters: Parameters
  /** What is filled in: the input of an earlier request. */
  values: Readonly<Record<string, unknown>>
  /** Where the input is sent. */
  submitUrl: string
  inspectUrl: string
  uploadUrl: string
  /** The page of a request, without its id. */
  requestsUrl: string
  /** Whether models can be named by their paths. */
  allowLocalPaths: boolean
}

export function trainForm({ parameters, values, allowLocalPaths, ...urls }: TrainForm): Markup {
  const shown = Object.entries(parameters).filter(
    ([name]) => !withoutField.includes(name) && (allowLocalPaths || !localPlaces.includes(name)),
  )
  const groups = [...new Set(shown.map(([, { group }]) => group))]
  const control = ([name, described]: [string, Parameter]) => {
    const parameter = allowLocalPaths ? described : { ...described, help: helpWithoutFolders(described) }
    const options = {
      table: parameters,
      value: values[name],
      isInspected: inspectedParameters.includes(name),
      ...(/data/.test(name) && { accept: '.zip' }),
    }
    return parameter.keys ? previewField(name, parameter, options) : field(name, parameter, options)
  }
  return html`<form class="job" data-submit="${urls.submitUrl}" data-next="${urls.requestsUrl}" data-upload-url="${urls.uploadUrl}" data-inspect="${urls.inspectUrl}" novalidate>
${groups.map((group) => {
  const inGroup = shown.filter(([, parameter]) => parameter.group === group)
  const first = inGroup.filter(([, { extension }]) => !extension)
  const more = inGroup.filter(([, { extension }]) => extension)
  const isChanged = more.some(
    ([name, { default: fallback }]) => values[name] !== undefined && values[name] !== fallback,
  )
  return html`<fieldset><legend>${group}</legend>${first.length > 0 && html`<div class="fields">${first.map(control)}</div>`}${
    group === 'Data' &&
    html`<div class="inspection" data-inspection><p role="status" aria-live="polite" class="headline"></p><div class="progress" hidden><progress aria-label="Inspected pairs"></progress><span></span></div><div data-report></div></div>`
  }${
    more.length > 0 &&
    html`<details${isChanged && html` open`}><summary>${first.length > 0 ? 'More: ' : ''}${more.map(([name], i) => (i === 0 ? labelOf(name) : lowerFirst(labelOf(name)))).join(', ')}</summary><div class="fields">${more.map(control)}</div></details>`
  }</fieldset>\n`
})}
<div class="submit"><p class="error" role="alert" data-form-error></p><button class="primary">Start the training</button> <span class="faint" role="status"></span></div>
</form>`
}

/** Folders cannot be uploaded. */
const helpWithoutFolders = ({ help }: Parameter) => help.replace('zip, folder or URL', 'zip or URL')

/** `STG scale` stays. */
const lowerFirst = (text: string) => (/^[A-Z]{2}/.test(text) ? text : text.charAt(0).toLowerCase() + text.slice(1))
