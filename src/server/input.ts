/** The input of a training: checked against the schema of the tool, with all findings at once, in the terms of the hosted API. */
import type { Parameter } from '../config/parameter.ts'
import { isVideoField, trainParameters } from '../config/parameters.ts'
import { resolveTrainSettings } from '../config/settings.ts'
import { nearestName } from '../config/values.ts'
import { UserError } from '../platform/errors.ts'
import type { ErrorDetail } from '../queue/request.ts'
import { finding, findingsOf, missing } from './findings.ts'
import { HttpError } from './http-error.ts'
import type { Place, Places } from './places.ts'

/** The folder of the run is the server's. */
const ownParameters: readonly string[] = ['out']

/** The parameters of a training that clients may give, by their names. */
export const inputParameters: Readonly<Record<string, Parameter>> = Object.fromEntries(
  Object.entries<Parameter>(trainParameters).filter(([name]) => !ownParameters.includes(name)),
)

/** What the tool reads from the web. A model is read where it is. */
const remoteParameters: readonly string[] = ['training_data_url', 'holdout_data', 'validation']

/**
 * @param input what the client sent.
 * @returns the given parameters, by their names in a job file. Fields that describe video have no effect, as for job files.
 * @throws HttpError 422 with every finding.
 */
export async function checkTrainingInput(input: unknown, places: Places): Promise<Record<string, unknown>> {
  if (typeof input !== 'object' || input === null || Array.isArray(input))
    throw refusal([
      input === undefined
        ? missing(['body'])
        : finding(['body'], 'model_attributes_type', 'Input should be a valid dictionary or object', { input }),
    ])
  const given = new Map(Object.entries(input).filter(([name]) => !isVideoField(name)))
  const findings: ErrorDetail[] = []
  const parameters: Record<string, unknown> = {}
  const stores: (() => Promise<void>)[] = []
  for (const [name, parameter] of Object.entries(inputParameters)) {
    const value = given.get(name)
    given.delete(name)
    if (value === undefined || (value === null && parameter.default === undefined && !parameter.required)) {
      if (parameter.required) findings.push(missing(['body', name]))
      continue
    }
    const checked = checkValue(name, parameter, value)
    findings.push(...checked.findings)
    if (checked.findings.length > 0) continue
    parameters[name] = checked.value
    for (const { loc, text, replace } of placesIn(name, parameter, checked.value, parameters)) {
      const place = await places.find(text, { mayBeRemote: remoteParameters.includes(name) })
      if (place.kind === 'refused') findings.push(notUsable(['body', name, ...loc], text, place))
      else if (place.kind === 'named') replace(place.name)
      else stores.push(async () => replace(await place.store()))
    }
  }
  findings.push(...[...given].map(([name, value]) => unknownField(name, value)))
  if (findings.length === 0) findings.push(...contradictions(parameters))
  if (findings.length > 0) throw refusal(findings)
  for (const store of stores) await store()
  return parameters
}

const refusal = (findings: ErrorDetail[]) => new HttpError(422, findings)

/** As pydantic, this reads numbers and truth values that arrive as text: the hosted trainer writes `rank` as "32". */
function checkValue(name: string, { schema, parseText }: Parameter, value: unknown) {
  const result = schema.safeParse(value)
  if (result.success) return { value: result.data, findings: notSupported(name, result.data) }
  const parsed = typeof value === 'string' ? schema.safeParse(parseText(value)) : result
  if (parsed.success) return { value: parsed.data, findings: notSupported(name, parsed.data) }
  const { issues } = typeof value === 'string' && parseText(value) !== value ? parsed.error : result.error
  return { value, findings: findingsOf(name, schema, value, issues) }
}

const notSupported = (name: string, value: unknown) =>
  name === 'split_input_into_scenes' && value === true
    ? [
        finding(
          ['body', name],
          'feature_not_supported',
          'Feature not supported: the two sides of a pair would lose their sync',
          { input: value },
        ),
      ]
    : []

type PlaceIn = { loc: (string | number)[]; text: string; replace(name: string): void }

/** The paths and URLs in a value. */
function placesIn(
  name: string,
  { isPath, isList }: Parameter,
  value: unknown,
  parameters: Record<string, unknown>,
): PlaceIn[] {
  if (name === 'validation') {
    const entries = (value as { reference_audio_url: string }[]).map((entry) => ({ ...entry }))
    parameters[name] = entries
    return entries.map((entry, i) => ({
      loc: [i, 'reference_audio_url'],
      text: entry.reference_audio_url,
      replace: (place) => {
        entry.reference_audio_url = place
      },
    }))
  }
  if (!isPath || isList) return []
  const parts = name === 'model' ? (value as string).split(',').map((part) => part.trim()) : [value as string]
  return parts.map((text, i) => ({
    loc: [],
    text,
    replace: (place) => {
      parts[i] = place
      parameters[name] = parts.join(',')
    },
  }))
}

const notUsable = (loc: ErrorDetail['loc'], input: string, { why }: Place & { kind: 'refused' }) =>
  finding(loc, 'file_download_error', `File download error. ${why}`, { input })

function unknownField(name: string, input: unknown): ErrorDetail {
  const nearest = nearestName(name, Object.keys(inputParameters))
  const msg = ownParameters.includes(name)
    ? 'Extra inputs are not permitted: the server decides where a run is written'
    : `Extra inputs are not permitted${nearest === undefined ? '' : `: did you mean ${nearest}?`}`
  return finding(['body', name.slice(0, 100)], 'extra_forbidden', msg, { input })
}

/** Values that are right and do not go together. */
function contradictions(parameters: Record<string, unknown>): ErrorDetail[] {
  try {
    resolveTrainSettings({ savedJob: { job: parameters, file: 'the input' } })
    return []
  } catch (error) {
    if (!(error instanceof UserError) || error.code === 'machine_error') throw error
    return [
      finding(
        ['body', ...(error.parameter === undefined ? [] : [error.parameter])],
        error.code ?? 'value_error',
        `Value error, ${error.message}`,
      ),
    ]
  }
}
