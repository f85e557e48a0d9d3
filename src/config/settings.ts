/** The settings of each command: what was given as flags, in a job file or by a program, over the defaults; checked and frozen. */
import { UserError } from '../platform/errors.ts'
import { shownValue } from '../platform/text.ts'
import { type Job, readJobFile } from './job-file.ts'
import {
  type CamelCased,
  camelCase,
  camelCased,
  type OptionsOf,
  type Parameter,
  type Parameters,
  snakeCased,
  type Values,
} from './parameter.ts'
import {
  applyParameters,
  encodeParameters,
  fixParameters,
  inspectParameters,
  isVideoField,
  makePairsParameters,
  previewParameters,
  trainParameters,
  videoFields,
} from './parameters.ts'
import {
  checkValues,
  type Flags,
  type GivenValues,
  hostedRefusal,
  nearestName,
  optionsObject,
  unknownParameter,
  type Validation,
  validationFromFlags,
  valuesFromFlags,
} from './values.ts'

type TrainValues = CamelCased<Values<typeof trainParameters>>

/** Frozen. Paths and URLs are as they were given; `out`, `model` and `textEncoder` are undefined where nothing was given. */
export type TrainSettings = Readonly<
  Omit<TrainValues, 'alpha' | 'validation'> & { alpha: number; validation: readonly Validation[] }
>

/** Frozen. Without `trainingDataUrl` the dataset is looked for in the current folder. */
export type InspectSettings = Readonly<CamelCased<Values<typeof inspectParameters>>>

/** Frozen. */
export type FixSettings = Readonly<CamelCased<Values<typeof fixParameters>>>

/** Frozen. */
export type MakePairsSettings = Readonly<CamelCased<Values<typeof makePairsParameters>>>

/** Frozen. `prompts` are all texts beside the captions: prompts of the previews, the trigger phrase, the negative prompt. */
export type EncodeSettings = Readonly<
  Omit<CamelCased<Values<typeof encodeParameters>>, 'prompt'> & { prompts: readonly string[]; out: string }
>

/** Frozen. Where `prompt`, `duration` and `normalizeReference` are undefined, the LoRA's metadata decides; without `model` it is the bundled base. */
export type PreviewSettings = Readonly<
  Omit<CamelCased<Values<typeof previewParameters>>, 'lora' | 'loraStrength'> & { loras: readonly LoraChoice[] }
>

/** Frozen. Where `prompt`, `window` and `normalizeReference` are undefined, the LoRA's metadata decides; without `format` and `sampleRate`, each recording. */
export type ApplySettings = Readonly<
  Omit<CamelCased<Values<typeof applyParameters>>, 'lora' | 'loraStrength'> & { loras: readonly LoraChoice[] }
>

export type LoraChoice = { path: string; strength: number }

/** What a program passes to `train`: the parameters by their names in code. `data` is the zip, folder or URL of the dataset. */
export type TrainOptions = Omit<OptionsOf<typeof trainParameters>, 'trainingDataUrl' | 'validation'> & {
  data?: string
  validation?: readonly { prompt?: string; referenceAudioUrl: string }[]
}

/** What a program passes to `inspectDataset`. */
export type InspectOptions = Omit<OptionsOf<typeof inspectParameters>, 'trainingDataUrl'> & { data: string }

/** What a program passes to `preview`. Several LoRAs are added up, each with its own strength (1 by default). */
export type PreviewOptions = Omit<
  OptionsOf<typeof previewParameters>,
  'lora' | 'loraStrength' | 'reference' | 'out'
> & {
  reference: string
  lora?: string | readonly string[]
  loraStrength?: number | readonly number[]
}

/** What a program passes to `apply`. `in` are files, folders, patterns or URLs. */
export type ApplyOptions = Omit<OptionsOf<typeof applyParameters>, 'lora' | 'loraStrength' | 'inputs'> & {
  in: string | readonly string[]
  lora?: string | readonly string[]
  loraStrength?: number | readonly number[]
}

export type Resolved<Settings> = {
  settings: Settings
  /** One line each about values that have no effect. */
  notices: string[]
}

/** Where values come from. Flags win over a job file. */
export type SettingsSources = {
  flags?: Flags
  /** Path of a job file. */
  configFile?: string | undefined
  /** Values from a program, by their names in code. */
  options?: object
  /** The parameters of an earlier run that is continued, and the file that holds them. */
  savedJob?: { job: Job; file: string }
}

/**
 * The settings of `train`.
 * @throws UserError for the first unknown name, and for a wrong or missing value.
 */
export function resolveTrainSettings(sources: SettingsSources): Resolved<TrainSettings> {
  const { given, notices } = collectValues(trainParameters, sources)
  const checked = checkValues(trainParameters, given, originOf(sources))
  const values = camelCased(checked)
  refuseSplitting(values)
  refuseUnusedEvaluation(values, given)
  // a run on the bundled base is no job for the hosted trainer, and of a resumed run it was reported when it began
  const isForHosted = values.model !== undefined && sources.savedJob === undefined
  const refusal = isForHosted ? hostedRefusal(trainParameters, checked) : undefined
  const settings: TrainSettings = {
    ...values,
    alpha: values.alpha ?? values.rank,
    validation: withPrompts(values.validation, values.triggerPhrase),
  }
  return { settings: Object.freeze(settings), notices: [...notices, ...(refusal === undefined ? [] : [refusal])] }
}

/** The settings of `inspect-dataset`, which may come from the job file of a training. @throws UserError as above. */
export function resolveInspectSettings(sources: SettingsSources): Resolved<InspectSettings> {
  const { given, notices } = collectValues(inspectParameters, sources)
  const values = camelCased(checkValues(inspectParameters, given, originOf(sources)))
  refuseSplitting(values)
  return { settings: Object.freeze(values), notices }
}

/** The settings of `fix-dataset`. @throws UserError for the first wrong value. */
export const resolveFixSettings = (flags: Flags): FixSettings =>
  Object.freeze(camelCased(checkValues(fixParameters, valuesFromFlags(fixParameters, flags))))

/** The settings of `make-pairs`. @throws UserError for the first missing or wrong value. */
export function resolveMakePairsSettings(flags: Flags): MakePairsSettings {
  const settings = camelCased(checkValues(makePairsParameters, valuesFromFlags(makePairsParameters, flags)))
  if (flags.snr !== undefined && settings.effect !== 'noise')
    throw new UserError(`--snr has no effect on ${settings.effect}`, { hint: 'leave it out, or use --effect noise' })
  return Object.freeze(settings)
}

/** The settings of `encode-captions`, which may come from the job file of a training. @throws UserError as above. */
export function resolveEncodeSettings({
  out,
  ...sources
}: SettingsSources & { out: string }): Resolved<EncodeSettings> {
  const { given, notices } = collectValues(encodeParameters, sources)
  const { prompt, ...values } = camelCased(checkValues(encodeParameters, given))
  const previews = withPrompts(values.validation, values.triggerPhrase).map(({ prompt }) => prompt)
  const prompts = [...prompt, ...previews, values.triggerPhrase, values.validationNegativePrompt]
  return { settings: Object.freeze({ ...values, prompts, out }), notices }
}

/** The settings of `preview`. @throws UserError for the first missing or wrong value. */
export function resolvePreviewSettings({ flags, options }: SettingsSources): PreviewSettings {
  const { lora, loraStrength, ...values } = valuesOf(previewParameters, { flags, options })
  return Object.freeze({ ...values, loras: loraChoices(lora, loraStrength, '--lora-strength') })
}

/** The settings of `apply`. @throws UserError for the first missing or wrong value. */
export function resolveApplySettings({ flags, options }: SettingsSources): ApplySettings {
  const { lora, loraStrength, ...values } = valuesOf(applyParameters, { flags, options })
  return Object.freeze({ ...values, loras: loraChoices(lora, loraStrength, '--strength') })
}

/** The checked values of a command without job files. */
function valuesOf<Table extends Parameters>(table: Table, { flags, options }: SettingsSources) {
  const given = new Map([
    ...valuesFromOptions(table, options === undefined ? {} : options),
    ...valuesFromFlags(table, flags ?? {}),
  ])
  return camelCased(checkValues(table, given, originOf({ flags, options })))
}

/** @param flag what the strengths are given with. */
function loraChoices(paths: readonly string[], strengths: readonly number[], flag: string): LoraChoice[] {
  if (strengths.length > paths.length)
    throw new UserError(`${strengths.length} ${flag} but ${paths.length} --lora were given`, {
      hint: `give one --lora <file> for each ${flag}`,
      parameter: 'lora_strength',
    })
  return paths.map((path, i) => ({ path, strength: strengths[i] ?? 1 }))
}

/**
 * The parameters of a job file as options for `train`.
 * @throws UserError when the file cannot be read, or is not a JSON object.
 */
export function readJobOptions(path: string): TrainOptions {
  const { trainingDataUrl: data, ...options } = camelCased(readJobFile(path)) as { trainingDataUrl?: string }
  return data === undefined ? options : { ...options, data }
}

/** Settings as a job that resolves to the same settings again. */
export const jobOf = (settings: TrainSettings): Job => snakeCased(settings)

/**
 * The values from all sources by their names in a job file. A job may hold every parameter of a training, whatever the command reads of it.
 * @param table the parameters of the command.
 */
function collectValues(table: Parameters, sources: SettingsSources) {
  const { flags = {}, configFile, options = {}, savedJob } = sources
  const { job, file } =
    savedJob ?? (configFile === undefined ? noJob : { job: readJobFile(configFile), file: configFile })
  const given: GivenValues = new Map([
    ...valuesFromJob(job, file),
    ...valuesFromOptions(table, options),
    ...valuesFromFlags({ ...trainParameters, ...table }, flags),
    ...validationOf(flags),
  ])
  const ignored = new Set([...Object.keys(job), ...Object.keys(snakeCased(flags))].filter(isVideoField))
  return {
    given,
    notices: ignored.size > 0 ? [`no effect, because only audio is trained: ${[...ignored].join(', ')}`] : [],
  }
}

const noJob = { job: {}, file: '' }

const originOf = ({ flags, configFile, savedJob, options }: SettingsSources) => ({
  areOptions: options !== undefined && flags === undefined && configFile === undefined && savedJob === undefined,
})

/** @throws UserError for a name that no parameter of a training has, and for a parameter that is given by both of its names. */
function valuesFromJob(job: Job, from: string, table: Parameters = trainParameters): GivenValues {
  const aliases = aliasesOf(table)
  const given = new Map<string, { value: unknown; from: string }>()
  for (const [key, value] of Object.entries(job)) {
    const name = aliases.get(key) ?? key
    if (isVideoField(name)) continue
    const named = (key: string) => (from === optionsObject ? camelCase(key) : key)
    if (!Object.hasOwn(table, name)) {
      const nearest = nearestName(key, knownNames(table))
      throw unknownParameter(named(key), nearest && named(nearest), from)
    }
    if (given.has(name))
      throw new UserError(`${from} has both ${named(name)} and its short name ${table[name]?.alias}`, {
        hint: 'keep one of them',
      })
    given.set(name, { value, from, ...(from === optionsObject && { givenAs: camelCase(key) }) })
  }
  return given
}

/**
 * A program gives the same names in camelCase, and may give one value instead of a list.
 * @throws UserError also when the options are not an object, because programs without types may pass anything.
 */
function valuesFromOptions(table: Parameters, options: object): GivenValues {
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw new UserError(`the options are ${shownValue(options)}, not an object`)
  const given = valuesFromJob(snakeCased(options), optionsObject, table)
  const listed = (name: string, value: unknown) => (table[name]?.isList && !Array.isArray(value) ? [value] : value)
  return new Map([...given].map(([name, one]) => [name, { ...one, value: listed(name, one.value) }]))
}

function validationOf({ validationReference, validationPrompt }: Flags): GivenValues {
  const value = validationFromFlags(asList(validationReference), asList(validationPrompt))
  return new Map(value && [['validation', { value, from: '--validation-reference' }]])
}

const asList = (flag: Flags[string]) => (typeof flag === 'object' ? flag : typeof flag === 'string' ? [flag] : [])

const aliasesOf = (table: Parameters) =>
  new Map(Object.entries<Parameter>(table).flatMap(([name, { alias }]) => (alias ? [[alias, name] as const] : [])))

const knownNames = (table: Parameters) => [...Object.keys(table), ...aliasesOf(table).keys(), ...videoFields]

/** The prompt of a preview is the trigger phrase where none is given. */
const withPrompts = (
  entries: readonly { prompt?: string | undefined; referenceAudioUrl: string }[],
  triggerPhrase: string,
): readonly Validation[] =>
  entries.map(({ prompt, referenceAudioUrl }) => ({ prompt: prompt ?? triggerPhrase, referenceAudioUrl }))

/** Refuses held-out pairs from two places, and what has no effect without them. @param given says how the caller writes the names. */
function refuseUnusedEvaluation(
  {
    holdout,
    holdoutData,
    patience,
    evalInterval,
  }: Pick<TrainSettings, 'holdout' | 'holdoutData' | 'patience'> & { evalInterval?: number | undefined },
  given: GivenValues,
) {
  const named = (name: string) => {
    const { from = '', givenAs = name } = given.get(name) ?? {}
    return from.startsWith('--') ? from : givenAs
  }
  if (holdout !== 0 && holdoutData !== undefined)
    throw new UserError(`both ${named('holdout')} and ${named('holdout_data')} are set`, {
      hint: 'keep one of them',
      parameter: 'holdout_data',
    })
  if (patience > 0 && holdout === 0 && holdoutData === undefined)
    throw new UserError(`${named('patience')} is ${patience}, but no pairs are held out`, {
      hint: 'also set --holdout or --holdout-data: training stops by the held-out loss',
      parameter: 'patience',
    })
  if (patience > 0 && evalInterval === 0)
    throw new UserError(
      `${named('patience')} is ${patience}, but ${named('eval_interval')} 0 evaluates only at the end`,
      {
        hint: 'set --eval-interval to a number of steps, or leave --patience out',
        parameter: 'patience',
      },
    )
}

function refuseSplitting({ splitInputIntoScenes }: { splitInputIntoScenes: boolean }) {
  if (!splitInputIntoScenes) return
  throw new UserError('split_input_into_scenes cannot be true: the two sides of a pair would lose their sync', {
    hint: 'cut long recordings into matching _start and _end files beforehand, and leave it false',
    code: 'feature_not_supported',
    parameter: 'split_input_into_scenes',
  })
}

/** The files and folders of a model, which no output may replace. A list of files is written with commas between. */
export const modelInputs = (settings: {
  model?: string | undefined
  textEncoder?: string | undefined
  textEmbeddings?: string | undefined
}) => [
  settings.model,
  ...(settings.model?.split(',').map((path) => path.trim()) ?? []),
  settings.textEncoder,
  settings.textEmbeddings,
]
