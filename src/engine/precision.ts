/**
 * The number format of frozen weights and of what is multiplied by them. Sums, norms and trained parameters are float32 everywhere.
 * `LTX_A2A_PRECISION` overrides the choice.
 */
import { UserError } from '../errors.ts'
import { dataTypes, flag, isNative, nativeBackend, typeAttribute } from './native.ts'

export type Precision = 'bfloat16' | 'half' | 'float32'
const precisions: readonly Precision[] = ['bfloat16', 'half', 'float32']

let chosen: Precision | undefined

/** Chooses for everything loaded from now on; undefined leaves it to the machine. */
export function choosePrecision(precision: Precision | undefined) {
  chosen = precision
}

/**
 * The format in use: what was chosen, else the first of bfloat16, half and float32 that this TensorFlow multiplies.
 * @throws UserError when `LTX_A2A_PRECISION` names none of them.
 */
export function currentPrecision(): Precision {
  if (!isNative()) return 'float32'
  chosen ??= asked() ?? precisions.find(multiplies) ?? 'float32'
  return chosen
}

function asked(): Precision | undefined {
  const name = process.env.LTX_A2A_PRECISION
  if (!name) return undefined
  const precision = precisions.find((known) => known === name)
  if (precision) return precision
  throw new UserError(`LTX_A2A_PRECISION is ${name}`, { hint: `choose one of ${precisions.join(', ')}` })
}

/** Whether a small product of this type works at all: old GPU builds lack bfloat16. */
function multiplies(precision: Precision): boolean {
  if (precision === 'float32') return true
  const { binding } = nativeBackend()
  const ids: number[] = []
  const run = (...call: Parameters<typeof binding.executeOp>) => {
    const [output] = binding.executeOp(...call)
    ids.push(output?.id as number)
    return output?.id as number
  }
  try {
    const values = binding.createTensor([16, 16], dataTypes.float32, new Float32Array(256).fill(0.5))
    ids.push(values)
    const narrow = run(
      'Cast',
      [typeAttribute('SrcT', 'float32'), typeAttribute('DstT', precision), flag('Truncate', false)],
      [values],
      1,
    )
    const product = run(
      'MatMul',
      [typeAttribute('T', precision), flag('transpose_a', false), flag('transpose_b', true)],
      [narrow, narrow],
      1,
    )
    const wide = run(
      'Cast',
      [typeAttribute('SrcT', precision), typeAttribute('DstT', 'float32'), flag('Truncate', false)],
      [product],
      1,
    )
    return binding.tensorDataSync(wide)[0] === 4
  } catch {
    return false
  } finally {
    for (const id of ids) binding.deleteTensor(id)
  }
}
