/**
 * An input for every type of 422 error that the server answers, for the tests with both official clients: `scripts/check-fal-client.ts` gives them to the
 * one for Python as JSON.
 */
import type { InputErrorType } from '../../src/queue/input-error-types.ts'

export type Refusal = {
  /** What is sent; in place of `{pairs}`, the URL of an upload. */
  input: unknown
  loc: (string | number)[]
  ctx?: Readonly<Record<string, unknown>>
  /** The file in `fixtures/zips` that is uploaded, where it is not one that can be used. */
  pairs?: string
  webhook?: string
  /** Whether only the worker finds it, so that the request itself is accepted. */
  isLate?: true
}

const training_data_url = '{pairs}'
const zip = ['body', 'training_data_url']
const tiny = { training_data_url, audio_duration_seconds: 1, number_of_steps: 1, rank: 8, backend: 'wasm' }

const of = (name: string, value: unknown, more: Partial<Refusal> = {}): Refusal => ({
  input: { training_data_url, [name]: value },
  loc: ['body', name],
  ...more,
})

/** Deeper than the server reads. */
const deep = JSON.parse('['.repeat(60) + ']'.repeat(60)) as unknown

export const refusals: Readonly<Record<InputErrorType, Refusal>> = {
  missing: { input: {}, loc: zip },
  extra_forbidden: of('bogus', 1),
  json_invalid: of('rank', deep, { loc: ['body'] }),
  model_attributes_type: { input: [1], loc: ['body'] },
  value_error: of('holdout', 'some'),
  one_of: of('windows', 'some', { ctx: { expected: ['first', 'all', 'random'] } }),
  greater_than: of('learning_rate', 0, { ctx: { gt: 0 } }),
  greater_than_equal: of('rank', 0, { ctx: { ge: 1 } }),
  less_than: of('ema', 1, { ctx: { lt: 1 } }),
  less_than_equal: of('rank', '2000', { ctx: { le: 1024 } }),
  int_type: of('rank', null),
  int_parsing: of('rank', 'x'),
  int_from_float: of('rank', 1.5),
  float_type: of('learning_rate', true),
  float_parsing: of('learning_rate', 'fast'),
  bool_type: of('audio_normalize', 1),
  bool_parsing: of('audio_normalize', 'maybe'),
  string_type: of('trigger_phrase', 5),
  list_type: of('target_modules', 7),
  dict_type: of('validation', ['a'], { loc: ['body', 'validation', 0] }),
  sequence_too_short: of('target_modules', [], { ctx: { min_length: 1 } }),
  sequence_too_long: of('validation', Array(17).fill({ reference_audio_url: training_data_url }), {
    ctx: { max_length: 16 },
  }),
  url_parsing: { input: { training_data_url }, loc: ['query', 'fal_webhook'], webhook: 'http://127.0.0.1/done' },
  file_download_error: { input: { ...tiny, training_data_url: 'http://127.0.0.1:1/pairs.zip' }, loc: zip },
  invalid_archive: { input: tiny, loc: zip, pairs: 'invalid/content-damaged.zip', isLate: true },
  audio_duration_too_short: {
    ...{ input: { ...tiny, audio_duration_seconds: 5 }, loc: zip, isLate: true },
    ctx: { min_duration: 5 },
  },
  unsupported_audio_format: { input: tiny, loc: zip, pairs: 'invalid/drums-end-is-text.zip', isLate: true },
  feature_not_supported: of('split_input_into_scenes', true),
}

/** @returns the input with the URL of the upload in it. */
export const withPairs = (input: unknown, url: string): unknown =>
  JSON.parse(JSON.stringify(input).replaceAll('"{pairs}"', JSON.stringify(url)))
