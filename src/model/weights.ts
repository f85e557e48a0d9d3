/** A walk through a checkpoint's names: `weights.at('transformer_blocks.0')` knows its whole path and says it when something is missing. */
import { basename } from 'node:path'
import { float32Bytes, toFloat32 } from '../formats/dtypes.ts'
import type { Safetensors, StoredTensor } from '../formats/safetensors.ts'
import { UserError } from '../platform/errors.ts'

export type Weights = {
  /** The name walked so far, without the component's prefix: `transformer_blocks.0.audio_attn1`. */
  readonly name: string
  /** The same file, one name deeper: `at('attn1')` then reads `attn1.…`. */
  at(name: string): Weights
  has(name: string): boolean
  /** The stored shape, for sizes that no config names. @throws UserError when the tensor is missing. */
  shape(name: string): readonly number[]
  /**
   * The stored tensor, dequantised to float32 where the file keeps it as fp8.
   * @param shape what it must be; `null` where any size will do.
   * @throws UserError naming the tensor and the file when it is missing, and both shapes when they differ.
   */
  read(name: string, shape: readonly (number | null)[]): StoredTensor
  /** The same, in memory that the next loan takes again: for whoever copies it at once. */
  readPooled(name: string, shape: readonly (number | null)[]): StoredTensor
  /** Has all below this name fetched from the disk while something else is done. */
  readAhead(): void
  float32(name: string, shape: readonly (number | null)[]): Float32Array
  /** How many numbered children there are: `count('transformer_blocks')` for `transformer_blocks.0`, `.1`, … */
  count(name: string): number
}

/** @param prefix the component's outer name, with its dot where it has one: `'audio_vae.'` or `''`. */
export function weightsOf(file: Safetensors, prefix = '', name = ''): Weights {
  const dotted = name ? `${name}.` : ''
  const pathOf = (inner: string) => prefix + dotted + inner
  const infoOf = (path: string) => {
    const info = file.tensors.get(path)
    if (info) return info
    throw new UserError(`${basename(file.path)} has no tensor ${path}`, {
      hint: 'this needs a checkpoint in the LTX-2.3 layout with its audio tensors',
    })
  }
  const stored = (inner: string, shape: readonly (number | null)[], take: (path: string) => StoredTensor) => {
    const path = pathOf(inner)
    const info = infoOf(path)
    if (!fits(info.shape, shape))
      throw new UserError(`${path} in ${basename(file.path)} has the shape [${info.shape}], not [${describe(shape)}]`, {
        hint: 'the checkpoint does not match its own config, or is not an LTX-2.3 checkpoint',
      })
    const tensor = take(path)
    return tensor.dtype.startsWith('F8') ? dequantize(file, path, tensor) : tensor
  }
  const read: Weights['read'] = (inner, shape) => stored(inner, shape, file.read)
  return {
    name,
    at: (inner) => weightsOf(file, prefix, dotted + inner),
    has: (inner) => file.tensors.has(pathOf(inner)),
    shape: (inner) => infoOf(pathOf(inner)).shape,
    read,
    readPooled: (inner, shape) => stored(inner, shape, file.lend),
    readAhead: () => file.readAhead([...file.tensors.keys()].filter((path) => path.startsWith(prefix + dotted))),
    float32: (inner, shape) => {
      const { bytes, dtype } = read(inner, shape)
      return toFloat32(bytes, dtype)
    },
    count: (inner) => countChildren(file, `${pathOf(inner)}.`),
  }
}

const fits = (shape: readonly number[], wanted: readonly (number | null)[]) =>
  shape.length === wanted.length && wanted.every((size, axis) => size === null || size === shape[axis])

const describe = (shape: readonly (number | null)[]) => shape.map((size) => size ?? 'any').join(',')

/** Scaled fp8 keeps factors beside the weight, one for all or one per row; plain fp8 keeps none (reference §1.7). */
function dequantize(file: Safetensors, path: string, { bytes, dtype, shape }: StoredTensor): StoredTensor {
  const values = toFloat32(bytes, dtype)
  const name = scaleNames(path).find((name) => file.tensors.has(name))
  if (name !== undefined) {
    const scales = file.float32(name)
    if (scales.length !== 1 && scales.length !== shape[0])
      throw new UserError(`${name} in ${basename(file.path)} has ${scales.length} factors for [${shape}]`, {
        hint: 'this tool reads fp8 with one factor per tensor or per row; use the bf16 checkpoint',
      })
    const run = values.length / scales.length
    for (let i = 0; i < values.length; i++) values[i] = (values[i] as number) * (scales[Math.floor(i / run)] as number)
  }
  return { dtype: 'F32', shape, bytes: float32Bytes(values) }
}

/** As the reference names them, and as ComfyUI's older files do. */
const scaleNames = (path: string) => [`${path}_scale`, path.replace(/(\.weight)?$/, '.scale_weight')]

function countChildren(file: Safetensors, prefix: string): number {
  const numbers = new Set<number>()
  for (const name of file.tensors.keys())
    if (name.startsWith(prefix)) numbers.add(Number.parseInt(name.slice(prefix.length), 10))
  let count = 0
  while (numbers.has(count)) count++
  return count
}
