/** What a preview is told. */
import { UserError } from '../errors.ts'
import { type CamelCased, camelCased, type Values } from './parameter.ts'
import { previewParameters } from './parameters.ts'
import { checkValues, type Flags, givenByFlags } from './values.ts'

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
