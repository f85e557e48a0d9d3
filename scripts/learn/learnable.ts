/**
 * A component of the model whose weights can be learned. It is loaded by the product's own loader and its tensors are replaced by variables. Loaders
 * turn and reorder what is stored, so the way back is found by loading a second time, with every stored weight replaced by its own number.
 */
import * as tf from '@tensorflow/tfjs'
import { float32Bytes, toBfloat16 } from '../../src/formats/dtypes.ts'
import type { Metadata } from '../../src/formats/safetensors-header.ts'
import { type Components, ltxComponents } from '../../src/model/checkpoint-layout.ts'
import { type ModelConfig, readModelConfig } from '../../src/model/config.ts'
import { asCheckpoint, type Tensors } from '../base/tensors.ts'

export type Loader<C> = (components: Components, config: ModelConfig) => C

export type Learnable<C> = {
  component: C
  /** By their place in the component. */
  parameters: Map<string, tf.Variable>
  /** 0 where a loader has put a zero that stands for no weight, by the same names. */
  masks: Map<string, tf.Tensor>
  /** Writes what was learned back into the tensors. */
  store(): void
}

/** Numbers begin here, so that no weight that is not learned is mistaken for one. */
const firstNumber = 1000

/** @param isLearned by a tensor's full name in the checkpoint. */
export function learnable<C extends object>(
  tensors: Tensors,
  metadata: Metadata,
  load: Loader<C>,
  isLearned: (name: string) => boolean,
): Learnable<C> {
  const component = loadFrom(tensors, metadata, load)
  const names = [...tensors.keys()].filter(isLearned)
  const numbers = loadFrom(numbered(tensors, names), metadata, load)
  const parameters = new Map<string, tf.Variable>()
  const masks = new Map<string, tf.Tensor>()
  const places = new Map<string, Float32Array>()
  visit(component, numbers, '', (owner, key, path, value, number) => {
    const place = number.dataSync<'float32'>()
    if (!place.some((n) => n >= firstNumber)) return
    const variable = tf.variable(value, true, path)
    owner[key] = variable
    parameters.set(path, variable)
    places.set(path, place)
    if (place.includes(0)) masks.set(path, tf.keep(tf.cast(tf.greater(number, 0), 'float32')))
  })
  return {
    component,
    parameters,
    masks,
    store: () => {
      const learned = flatten(tensors, names)
      for (const [path, place] of places) {
        const values = (parameters.get(path) as tf.Variable).dataSync<'float32'>()
        place.forEach((n, i) => {
          if (n > 0) learned[n - firstNumber] = values[i] as number
        })
      }
      unflatten(tensors, names, learned)
    },
  }
}

function loadFrom<C>(tensors: Tensors, metadata: Metadata, load: Loader<C>): C {
  const checkpoint = asCheckpoint(tensors, metadata)
  return load(ltxComponents(checkpoint), readModelConfig(checkpoint))
}

function numbered(tensors: Tensors, names: readonly string[]): Tensors {
  const copy: Tensors = new Map(tensors)
  let next = firstNumber
  for (const name of names) {
    const { shape } = tensors.get(name) as { shape: number[] }
    const count = shape.reduce((a, b) => a * b, 1)
    const values = Float32Array.from({ length: count }, (_, i) => next + i)
    copy.set(name, { dtype: 'F32', shape, bytes: float32Bytes(values) })
    next += count
  }
  if (next > 2 ** 24) throw new Error('more weights than float32 can number')
  return copy
}

function flatten(tensors: Tensors, names: readonly string[]): Float32Array {
  const counts = names.map((name) => sizeOf(tensors, name))
  return new Float32Array(counts.reduce((a, b) => a + b, 0))
}

function unflatten(tensors: Tensors, names: readonly string[], learned: Float32Array) {
  let start = 0
  for (const name of names) {
    const { dtype, shape } = tensors.get(name) as { dtype: 'F32' | 'BF16'; shape: number[] }
    const values = learned.slice(start, start + sizeOf(tensors, name))
    tensors.set(name, { dtype, shape, bytes: dtype === 'F32' ? float32Bytes(values) : toBfloat16(values) })
    start += values.length
  }
}

const sizeOf = (tensors: Tensors, name: string) =>
  (tensors.get(name) as { shape: number[] }).shape.reduce((a, b) => a * b, 1)

type Owner = Record<string, unknown>

/** Walks two components of one make side by side, over every tensor in them. */
function visit(
  a: object,
  b: object,
  path: string,
  onTensor: (owner: Owner, key: string, path: string, a: tf.Tensor, b: tf.Tensor) => void,
) {
  for (const [key, value] of Object.entries(a)) {
    const other = (b as Owner)[key]
    const inner = path ? `${path}.${key}` : key
    if (value instanceof tf.Tensor) onTensor(a as Owner, key, inner, value, other as tf.Tensor)
    else if (typeof value === 'object' && value !== null) visit(value, other as object, inner, onTensor)
  }
}
