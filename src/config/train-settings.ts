/** What a training run is told: defaults, under a job file, under flags. */
import { UserError } from '../errors.ts'
import { type Job, readJobFile } from './job-file.ts'
import { nearest } from './nearest.ts'
import { type CamelCased, camelCased, type Parameter, snakeCase, type Values } from './parameter.ts'
import { inspectParameters, trainParameters } from './parameters.ts'
import { resolveValidation, type Validation, validationFromFlags } from './validation.ts'
import { checkValues, type Flags, type Given, givenByFlags, unknownParameter } from './values.ts'
import { isVideoField, videoFields } from './video-fields.ts'

type TrainValues = CamelCased<Values<typeof trainParameters>>

/** Frozen. Paths and URLs are as they were written; `out`, `model` and `textEncoder` are undefined where nothing was given. */
export type TrainSettings = Readonly<
  Omit<TrainValues, 'alpha' | 'validation'> & { alpha: number; validation: readonly Validation[] }
>

/** Without `trainingDataUrl` the dataset is looked for in the current folder. */
export type InspectSettings = Readonly<CamelCased<Values<typeof inspectParameters>>>

export type Resolved<Settings> = {
  settings: Settings
  /** Lines for the person: what was given and has no effect. */
  notices: string[]
}

export type Sources = {
  flags: Flags
  /** Path of a job file. */
  configFile?: string | undefined
  /** A job that was accepted before: the parameters of a run to go on with, and the file they stand in. */
  begun?: { job: Job; file: string }
}

/**
 * Everything `train` needs, checked. `flags.devAllowFewSteps` accepts fewer steps and any rank, as does a job that was accepted before.
 * @throws UserError for the first unknown name, wrong or missing value.
 */
export function resolveTrainSettings(sources: Sources): Resolved<TrainSettings> {
  const { given, notices } = gather(sources)
  const relaxed = sources.flags.devAllowFewSteps === true || sources.begun !== undefined
  const values = camelCased(checkValues(trainParameters, given, { relaxed }))
  refuseSplitting(values)
  const settings: TrainSettings = {
    ...values,
    alpha: values.alpha ?? values.rank,
    validation: resolveValidation(values.validation, values.triggerPhrase),
  }
  return { settings: Object.freeze(settings), notices }
}

/** What `inspect-dataset` looks at in the same job. @throws UserError as above. */
export function resolveInspectSettings(sources: Sources): Resolved<InspectSettings> {
  const { given, notices } = gather(sources)
  const values = camelCased(checkValues(inspectParameters, given))
  refuseSplitting(values)
  return { settings: Object.freeze(values), notices }
}

/** Settings as a job that resolves to the same settings again. */
export function jobOf(settings: TrainSettings): Job {
  const validation = settings.validation.map(({ prompt, referenceAudioUrl }) => ({
    prompt,
    reference_audio_url: referenceAudioUrl,
  }))
  const told = Object.entries({ ...settings, validation }).filter(([, value]) => value !== undefined)
  return Object.fromEntries(told.map(([name, value]) => [snakeCase(name), value]))
}

/** Flags win over the job. Video fields are left out and noted. */
export function gather({ flags, configFile, begun }: Sources): { given: Given; notices: string[] } {
  const { job, file } = begun ?? (configFile === undefined ? noJob : { job: readJobFile(configFile), file: configFile })
  const ofFlags = givenByFlags(trainParameters, flags)
  const given = new Map([...givenByJob(job, file), ...ofFlags, ...validationOfFlags(flags)])
  const idle = new Set([...Object.keys(job), ...Object.keys(flags).map(snakeCase)].filter(isVideoField))
  return { given, notices: idle.size > 0 ? [`${[...idle].join(', ')}: no effect: audio only`] : [] }
}

const noJob = { job: {}, file: '' }

function givenByJob(job: Job, from: string): Given {
  const given = new Map<string, { value: unknown; from: string }>()
  for (const [key, value] of Object.entries(job)) {
    const name = aliases.get(key) ?? key
    if (isVideoField(name)) continue
    if (!Object.hasOwn(trainParameters, name)) throw unknownParameter(key, nearest(key, knownNames), from)
    if (given.has(name))
      throw new UserError(`${from} has both ${name} and its short name ${key}`, { hint: 'keep one of them' })
    given.set(name, { value, from })
  }
  return given
}

function validationOfFlags({ validationReference, validationPrompt }: Flags): Given {
  const value = validationFromFlags(asList(validationReference), asList(validationPrompt))
  return new Map(value && [['validation', { value, from: '--validation-reference' }]])
}

const asList = (flag: Flags[string]) => (typeof flag === 'object' ? flag : typeof flag === 'string' ? [flag] : [])

const aliases = new Map(
  Object.entries<Parameter>(trainParameters).flatMap(([name, { alias }]) => (alias ? [[alias, name] as const] : [])),
)

const knownNames = [...Object.keys(trainParameters), ...aliases.keys(), ...videoFields]

function refuseSplitting({ splitInputIntoScenes }: { splitInputIntoScenes: boolean }) {
  if (!splitInputIntoScenes) return
  throw new UserError('split_input_into_scenes cannot be true: the two sides of a pair would lose their sync', {
    hint: 'cut long recordings into matching _start and _end files beforehand, and leave it false',
  })
}
