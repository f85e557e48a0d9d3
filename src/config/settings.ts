/** What a training run is told: defaults, under a job file, under flags. */
import { UserError } from '../platform/errors.ts'
import { type Job, readJobFile } from './job-file.ts'
import { type CamelCased, camelCased, type Parameter, snakeCase, type Values } from './parameter.ts'
import {
  encodeParameters,
  inspectParameters,
  isVideoField,
  previewParameters,
  trainParameters,
  videoFields,
} from './parameters.ts'
import { resolveValidation, type Validation, validationFromFlags } from './validation.ts'
import { checkValues, type Flags, type Given, givenByFlags, nearest, unknownParameter } from './values.ts'

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

/** What `encode-captions` is told: the part of a job that decides which texts are encoded, and by what. */

/** Frozen. `prompts` are all texts beyond the captions: those of the previews, the trigger phrase, the negative prompt. */
export type EncodeSettings = Readonly<
  Omit<CamelCased<Values<typeof encodeParameters>>, 'prompt' | 'out'> & { prompts: readonly string[]; out: string }
>

/** @throws UserError for the first unknown name, wrong or missing value. */
export function resolveEncodeSettings({ out, ...sources }: Sources & { out: string }): Resolved<EncodeSettings> {
  const { given, notices } = gather(sources)
  const ofFlags = givenByFlags(encodeParameters, sources.flags) // jobs know no --prompt
  const { prompt, ...values } = camelCased(checkValues(encodeParameters, new Map([...given, ...ofFlags])))
  const previews = resolveValidation(values.validation, values.triggerPhrase).map(({ prompt }) => prompt)
  const prompts = [...prompt, ...previews, values.triggerPhrase, values.validationNegativePrompt]
  return { settings: Object.freeze({ ...values, prompts, out }), notices }
}

/** What a preview is told. */

export type LoraChoice = { path: string; strength: number }

/** Frozen. `prompt` and `duration` are undefined where the LoRA's metadata decides, `model` and `textEncoder` for the bundled base. */
export type PreviewSettings = Readonly<
  Omit<CamelCased<Values<typeof previewParameters>>, 'lora' | 'loraStrength'> & { loras: readonly LoraChoice[] }
>

/** @throws UserError for the first missing or wrong value. */
export function resolvePreviewSettings({ flags }: { flags: Flags }): PreviewSettings {
  const { lora, loraStrength, ...values } = camelCased(
    checkValues(previewParameters, givenByFlags(previewParameters, flags)),
  )
  if (loraStrength.length > lora.length)
    throw new UserError(`${loraStrength.length} --lora-strength but ${lora.length} --lora were given`, {
      hint: 'give one --lora <file> for each --lora-strength',
    })
  return Object.freeze({ ...values, loras: lora.map((path, i) => ({ path, strength: loraStrength[i] ?? 1 })) })
}
