/** The previews a training run makes on its way: in a job file a list, as flags two that are repeated side by side. */
import { z } from 'zod'
import { UserError } from '../platform/errors.ts'
import { type Kind, path, text } from './parameter.ts'

type ValidationEntry = { prompt?: string | undefined; reference_audio_url: string }

export type Validation = { prompt: string; referenceAudioUrl: string }

const entry = z.strictObject(
  { prompt: text().schema.optional(), reference_audio_url: path('<file | URL>').schema },
  {
    error: ({ code }) => (code === 'invalid_type' ? 'must be an object {prompt, reference_audio_url}' : undefined),
  },
)

export const validationList: Kind<ValidationEntry[]> = {
  schema: z.array(entry, 'must be a list of {prompt, reference_audio_url}').max(2, 'must have at most 2 entries'),
  placeholder: '',
  keys: Object.keys(entry.shape),
  fromText: (text) => text,
}

/** The help of the two flags. */
export const validationFlags = {
  '--validation-reference <file>': 'a recording to transform, a file or URL; may be given twice',
  '--validation-prompt <text>': 'for the reference in the same place (default: the trigger phrase)',
}

/** The flags as the list they stand for; undefined where none was given. */
export function validationFromFlags(references: readonly string[] = [], prompts: readonly string[] = []) {
  if (prompts.length > references.length)
    throw new UserError(
      `${count(prompts, 'validation prompt')} but ${count(references, 'validation reference')} were given`,
      {
        hint: 'give one --validation-reference <file> for each --validation-prompt',
      },
    )
  if (references.length === 0) return undefined
  return references.map((reference, i) => ({ prompt: prompts[i], reference_audio_url: reference }))
}

export const resolveValidation = (entries: readonly ValidationEntry[], triggerPhrase: string): readonly Validation[] =>
  entries.map(({ prompt, reference_audio_url }) => ({
    prompt: prompt ?? triggerPhrase,
    referenceAudioUrl: reference_audio_url,
  }))

const count = (list: readonly string[], noun: string) => `${list.length} ${noun}${list.length === 1 ? '' : 's'}`
