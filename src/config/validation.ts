/** The previews that a training run renders: a list in a job file, and on the command line two flags that are repeated side by side. */
import { z } from 'zod'
import { UserError } from '../platform/errors.ts'
import { countText } from '../platform/text.ts'
import { path, text, type ValueType } from './parameter.ts'

type ValidationEntry = { prompt?: string | undefined; reference_audio_url: string }

/** One reference recording and the prompt that it is previewed with. */
export type Validation = { prompt: string; referenceAudioUrl: string }

const entry = z.strictObject(
  { prompt: text().schema.optional(), reference_audio_url: path('<file | URL>').schema },
  {
    error: ({ code }) => (code === 'invalid_type' ? 'must be an object {prompt, reference_audio_url}' : undefined),
  },
)

export const validationList: ValueType<ValidationEntry[]> = {
  schema: z.array(entry, 'must be a list of {prompt, reference_audio_url}').max(2, 'must have at most 2 entries'),
  placeholder: '',
  keys: Object.keys(entry.shape),
  parseText: (text) => text,
}

/** The help of the two flags. */
export const validationFlags = {
  '--validation-reference <file>': 'a recording to transform, a file or URL; may be given twice',
  '--validation-prompt <text>': 'for the reference in the same place (default: the trigger phrase)',
}

/** The list that the two flags stand for; undefined where neither was given. */
export function validationFromFlags(references: readonly string[] = [], prompts: readonly string[] = []) {
  if (prompts.length > references.length)
    throw new UserError(
      `${countText(prompts.length, 'validation prompt')} but ${countText(references.length, 'validation reference')} were given`,
      { hint: 'give one --validation-reference <file> for each --validation-prompt' },
    )
  if (references.length === 0) return undefined
  return references.map((reference, i) => ({ prompt: prompts[i], reference_audio_url: reference }))
}
