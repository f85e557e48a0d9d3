/** Access to a checkpoint's tensors by relative name. `weights.at('transformer_blocks.0')` keeps the full path, so errors name the whole tensor. */
import { basename } from 'node:path'
import { float32Bytes, toFloat32 } from '../formats/dtypes.ts'
import type { Safetensors, StoredTensor } from '../formats/safetensors.ts'
import { UserError } from '../platform/errors.ts'

export type Weights = {
  /** The name up to here, without the component's prefix: `transformer_blocks.0.audio_attn1`. */
  readonly name: string
  /** The tensors below a name: `at('attn1').read('to_q.weight', …)` reads `attn1.to_q.weight`. */
  at(name: string): Weights
  has(name: string): boolean
  /** The stored shape, for sizes that are not in the config. @throws UserError when the tensor is missing. */
  shape(name: string): readonly number[]
  /**
   * The stored tensor; fp8 is dequantized to float32.
   * @param shape the expected one.
   * @throws UserError when the tensor is missing or has another shape.
   */
  read(name: string, shape: ExpectedShape): StoredTensor
  /** The same, in a buffer that the next `readPooled` overwrites: for callers that copy the bytes immediately. */
  readPooled(name: string, shape: ExpectedShape): StoredTensor
  /** Starts reading all tensors below this name from the disk in the background. */
  readAhead(): void
  /** The values of a tensor, converted to float32. Like `read` otherwise. */
  float32(name: string, shape: ExpectedShape): Float32Array
}

/** @param prefix the component's prefix, including its dot: `'audio_vae.'`, or `''`. */
export function weightsOf(file: Safetensors, prefix = '', name = ''): Weights {
  const dotted = name ? `${name}.` : ''
  const pathOf = (inner: string) => prefix + dotted + inner
  const infoOf = (path: string) => {
    const info = file.tensors.get(path)
    if (info) return info
    throw new UserError(`${basename(file.path)} has no tensor ${path}`, {
      hint: 'the file is incomplete or of another model: download it again, or use one that contains the audio tensors',
    })
  }
  const readWith = (inner: string, shape: ExpectedShape, readTensor: (path: string) => StoredTensor) => {
    const path = pathOf(inner)
    const info = infoOf(path)
    if (!fitsShape(info.shape, shape))
      throw new UserError(
        `${path} in ${basename(file.path)} has the shape [${info.shape}], not [${shapeText(shape)}]`,
        { hint: 'the file does not match its own config, or is of another model' },
      )
    const tensor = readTensor(path)
    return tensor.dtype.startsWith('F8') ? dequantize(file, path, tensor) : tensor
  }
  const read: Weights['read'] = (inner, shape) => readWith(inner, shape, file.read)
  return {
    name,
    at: (inner) => weightsOf(file, prefix, dotted + inner),
    has: (inner) => file.tensors.has(pathOf(inner)),
    shape: (inner) => infoOf(pathOf(inner)).shape,
    read,
    readPooled: (inner, shape) => readWith(inner, shape, file.readPooled),
    readAhead: () => file.readAhead([...file.tensors.keys()].filter((path) => path.startsWith(prefix + dotted))),
    float32: (inner, shape) => {
      const { bytes, dtype } = read(inner, shape)
      return toFloat32(bytes, dtype)
    },
  }
}

/** A shape in which `null` allows any size. */
export type ExpectedShape = readonly (number | null)[]

export const fitsShape = (shape: readonly number[], wanted: ExpectedShape) =>
  shape.length === wanted.length && wanted.every((size, axis) => size === null || size === shape[axis])

export const shapeText = (shape: ExpectedShape) => shape.map((size) => size ?? 'any').join(',')

/**
 * Some rows of a matrix as they are stored; fp8 is dequantized to float32.
 * @param path its full name in the file.
 * @param rows their numbers, all below the number of rows.
 */
export function readRows(file: Safetensors, path: string, rows: readonly number[]): StoredTensor {
  const stored = file.readRows(path, rows)
  if (!stored.dtype.startsWith('F8')) return stored
  const values = toFloat32(stored.bytes, stored.dtype)
  const scales = scalesOf(file, path, file.tensors.get(path)?.shape ?? [])
  const width = values.length / rows.length
  if (scales)
    for (let i = 0; i < values.length; i++) {
      const row = rows[Math.floor(i / width)] as number
      values[i] = (values[i] as number) * (scales[scales.length === 1 ? 0 : row] as number)
    }
  return { dtype: 'F32', shape: stored.shape, bytes: float32Bytes(values) }
}

/** Scaled fp8 has a second tensor with one scale for the weight or one per row; plain fp8 has none (reference §1.7). */
function dequantize(file: Safetensors, path: string, { bytes, dtype, shape }: StoredTensor): StoredTensor {
  const values = toFloat32(bytes, dtype)
  const scales = scalesOf(file, path, shape)
  if (scales) {
    const valuesPerScale = values.length / scales.length
    for (let i = 0; i < values.length; i++)
      values[i] = (values[i] as number) * (scales[Math.floor(i / valuesPerScale)] as number)
  }
  return { dtype: 'F32', shape, bytes: float32Bytes(values) }
}

/** One scale for the whole tensor, or one per row; undefined for plain fp8. */
function scalesOf(file: Safetensors, path: string, shape: readonly number[]): Float32Array | undefined {
  const name = scaleNames(path).find((name) => file.tensors.has(name))
  if (name === undefined) return undefined
  const scales = file.float32(name)
  if (scales.length === 1 || scales.length === shape[0]) return scales
  throw new UserError(`${name} in ${basename(file.path)} has ${scales.length} scales for the shape [${shape}]`, {
    hint: 'only fp8 with one scale per tensor or per row is supported; use the bf16 checkpoint',
  })
}

/** The names that the reference implementation and ComfyUI's older files use. */
const scaleNames = (path: string) => [`${path}_scale`, path.replace(/(\.weight)?$/, '.scale_weight')]

/** Whether a component has tensors. @param prefix what their names begin with. */
export const hasTensors = (tensors: ReadonlyMap<string, unknown>, prefix: string) =>
  [...tensors.keys()].some((name) => name.startsWith(prefix))

/** How many members of a list have tensors. @param list the beginning of their names, before the number: `transformer_blocks.` */
export function countMembers(names: Iterable<string>, list: string): number {
  const numbers = [...names].flatMap((name) => (name.startsWith(list) ? [name.slice(list.length).split('.')[0]] : []))
  return new Set(numbers).size
}
