/** What `encode-captions` is told: the part of a job that decides which texts are encoded, and by what. */
import { type CamelCased, camelCased, type Values } from './parameter.ts'
import { encodeParameters } from './parameters.ts'
import { gather, type Resolved, type Sources } from './train-settings.ts'
import { resolveValidation } from './validation.ts'
import { checkValues, givenByFlags } from './values.ts'

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
