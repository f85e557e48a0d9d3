/** The fields of a form, from the parameters of the schema. The script of the pages reads their values by `data-kind`. */
import { z } from 'zod'
import type { Parameter, Parameters } from '../../config/parameter.ts'
import { html, type Markup } from '../../report/page/page.ts'
import { labelOf, withLabels } from './labels.ts'
import { placeName } from './page-files.ts'

/** What is filled in where only the small bundled base is used: stronger guidance makes its sound noisy and clipped. */
export const bundledGuidance: Readonly<Record<string, unknown>> = { preview_cfg: 1, cfg: 1, stg_scale: 0 }

export type FieldOptions = {
  /** The table that the parameter is from: its help may name others. */
  table: Parameters
  /** What is filled in, in place of the default. */
  value?: unknown
  /** Of a file: what can be chosen, such as `.zip`. */
  accept?: string
  /** Of a file: whether it may be on another server. */
  mayBeRemote?: boolean
  /** Whether the dataset is inspected again when it changes. */
  isInspected?: boolean
}

type JsonSchema = {
  type?: string
  enum?: readonly (string | number)[]
  minimum?: number
  maximum?: number
  exclusiveMinimum?: number
  exclusiveMaximum?: number
}

/** Longer texts get several lines. */
const longText = 60

/** A label, an input, help, and a place for what is wrong with the value. */
export function field(name: string, parameter: Parameter, options: FieldOptions): Markup {
  const schema = jsonSchemaOf(parameter.schema)
  const { default: fallback, isPath, isList } = parameter
  const text = textOf(options.value ?? fallback)
  const inspected = options.isInspected && html` data-inspected`
  const common = html`id="${name}" name="${name}" data-default="${textOf(fallback)}" aria-describedby="${name}-help ${name}-error"${parameter.required && html` required data-required`}${inspected}`
  const placeholder = fallback === undefined && parameter.defaultText
  const notes = html`<small id="${name}-help">${helpOf(parameter, options.table, schema.enum !== undefined)}</small><p class="error" id="${name}-error"></p>`
  const label = html`<label for="${name}">${labelOf(name)}</label>`
  const inField = (control: Markup, kind = '') =>
    html`<div class="field ${kind}" data-field="${name}">${label}${control}${notes}</div>\n`

  if (schema.type === 'boolean') {
    const isOn = text === 'true'
    return html`<div class="field toggle" data-field="${name}"><label><input type="checkbox" data-kind="boolean" ${common}${isOn && html` checked`}> ${labelOf(name)}</label>${notes}</div>\n`
  }
  if (schema.enum)
    return inField(
      html`<select data-kind="text" ${common}>${schema.enum.map((value) => html`<option${String(value) === text && html` selected`}>${value}</option>`)}</select>`,
    )
  if (schema.type === 'integer' || (schema.type === 'number' && !parameter.range?.includes('share'))) {
    const { minimum, maximum } = schema
    const suggestions = jsonSchemaOf(parameter.hosted?.schema).enum
    const list = suggestions && `${name}-list`
    return inField(
      html`<input type="number" data-kind="number" ${common} value="${text}" step="${schema.type === 'integer' ? 1 : 'any'}"${minimum !== undefined && html` min="${minimum}"`}${maximum !== undefined && html` max="${maximum}"`}${placeholder && html` placeholder="${placeholder}"`}${list && html` list="${list}"`}>${list && html`<datalist id="${list}">${suggestions?.map((value) => html`<option value="${value}"></option>`)}</datalist>`}`,
    )
  }
  if (isPath) return inField(fileControl(name, text, common, options), 'wide')
  const kind = isList ? 'list' : schema.type === 'string' ? 'text' : 'number-or-text'
  if (text.length > longText || name.endsWith('prompt'))
    return inField(html`<textarea rows="2" data-kind="${kind}" ${common}>${text}</textarea>`, 'wide')
  return inField(
    html`<input type="text" data-kind="${kind}" ${common} value="${text}"${placeholder && html` placeholder="${placeholder}"`}>`,
  )
}

/** A file is chosen, dropped, or named by its URL. */
const fileControl = (name: string, text: string, common: Markup, { accept, mayBeRemote = true }: FieldOptions) =>
  html`<div class="drop" data-upload><label class="choose">Choose a file<input type="file" aria-label="${labelOf(name)}: choose a file"${accept !== undefined && html` accept="${accept}"`}></label><span class="faint">or drop it here${mayBeRemote && ', or give its URL'}</span>
<input type="text" inputmode="url" data-kind="text" ${common} value="${text}" placeholder="${mayBeRemote ? 'https://…' : 'the URL of an upload'}"><progress max="1" value="0" hidden aria-label="Upload"></progress><p class="uploaded" role="status"></p></div>`

/** Recordings with their prompts: each that is dropped becomes a row. */
export function previewField(name: string, parameter: Parameter, { table, value }: FieldOptions): Markup {
  const entries = Array.isArray(value) ? value : []
  const most = (z.toJSONSchema(parameter.schema, { io: 'input' }) as { maxItems?: number }).maxItems
  return html`<fieldset class="field wide previews" data-field="${name}" data-kind="previews" data-name="${name}" data-most="${most}">
<legend>${labelOf(name)}</legend><small id="${name}-help">${helpOf(parameter, table)}. Without a prompt, the trigger phrase is used.</small>
<ol>${entries.map(({ prompt, reference_audio_url }) => previewRow(String(reference_audio_url ?? ''), textOf(prompt)))}</ol>
<div class="drop" data-upload><label class="choose">Choose recordings<input type="file" multiple accept="audio/*" aria-describedby="${name}-help ${name}-error"></label><span class="faint">or drop them here</span><progress max="1" value="0" hidden aria-label="Upload"></progress><p class="uploaded" role="status"></p></div>
<template>${previewRow('', '')}</template><p class="error" id="${name}-error"></p></fieldset>\n`
}

const previewRow = (url: string, prompt: string) =>
  html`<li data-url="${url}"><span class="name">${placeName(url)}</span><label>Prompt <input type="text" value="${prompt}" placeholder="the trigger phrase"></label><button type="button" class="plain" data-remove>Remove</button></li>`

/** @param isChoice whether the values can be seen in the field. */
function helpOf({ help, range, hosted }: Parameter, table: Parameters, isChoice = false): string {
  const there = hosted?.range !== undefined && hosted.range !== range ? ` (hosted trainer: ${hosted.range})` : ''
  const limits = range === undefined || isChoice ? there.replace(/^ \((.*)\)$/, '$1') : `${range}${there}`
  const text = [withLabels(help, Object.keys(table)), limits].filter((part) => part !== '').join('; ')
  return text.charAt(0).toUpperCase() + text.slice(1)
}

const jsonSchemaOf = (schema: z.ZodType | undefined): JsonSchema =>
  schema ? (z.toJSONSchema(schema, { unrepresentable: 'any', io: 'input' }) as JsonSchema) : {}

/** A value as its field shows it. */
const textOf = (value: unknown): string =>
  value === undefined || value === null ? '' : Array.isArray(value) ? value.join(', ') : String(value)
