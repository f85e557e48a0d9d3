/**
 * The number format that matrices are multiplied in. Sums, norms and trained parameters are float32 everywhere. `LTX_A2A_PRECISION` overrides the
 * choice.
 */
import { UserError } from '../platform/errors.ts'
import { nativeFacts } from './backend.ts'
import { isNative } from './native.ts'
import { isExact, isForeign } from './numeric-check.ts'

export type Precision = 'bfloat16' | 'half' | 'float32'
const precisions: readonly Precision[] = ['bfloat16', 'half', 'float32']

let chosen: Precision | undefined

/** Chooses for everything loaded from now on; undefined leaves it to the machine. */
export function choosePrecision(precision: Precision | undefined) {
  chosen = precision
}

/**
 * The format in use: what was chosen, else the narrowest that this machine multiplies well. It depends on nothing that is measured in time, so that a
 * run goes on as it began.
 * @throws UserError when `LTX_A2A_PRECISION` names none of them.
 */
export function currentPrecision(): Precision {
  if (!isNative()) return 'float32'
  chosen ??= asked() ?? narrowFormats().find(isExact) ?? 'float32'
  return chosen
}

/** A card without bfloat16 has half; on a processor both would be computed by hand, and the digits of bfloat16 cut off. */
const narrowFormats = (): Precision[] => {
  const formats: Precision[] = nativeFacts().device === 'GPU' ? ['bfloat16', 'half'] : ['bfloat16']
  return formats.filter((format) => !isForeign(format))
}

function asked(): Precision | undefined {
  const name = process.env.LTX_A2A_PRECISION
  if (!name) return undefined
  const precision = precisions.find((known) => known === name)
  if (precision) return precision
  throw new UserError(`LTX_A2A_PRECISION is ${name}`, { hint: `choose one of ${precisions.join(', ')}` })
}
