/**
 * Makes the weights of a component trainable. The component is loaded by its loader in `src/model`, and its tensors are replaced by variables. Loaders
 * transpose and rearrange weights. To find out how, the component is loaded a second time with every weight replaced by its index in the checkpoint.
 */
import * as tf from '@tensorflow/tfjs'
import { float32Bytes, toBfloat16 } from '../../src/formats/dtypes.ts'
import type { Metadata } from '../../src/formats/safetensors-header.ts'
import { type Components, ltxComponents } from '../../src/model/checkpoint-layout.ts'
import { type ModelConfig, readModelConfig } from '../../src/model/config.ts'
import { sum } from '../../src/platform/statistics.ts'
import { asCheckpoint, float32Tensor, type Tensors, valuesOf } from '../base/tensors.ts'

export type Loader<C> = (components: Components, config: ModelConfig) => C

export type Trainable<C> = {
  component: C
  /** By their path in the component, for example `stages.0.up.kernel`. */
  parameters: Map<string, tf.Variable>
  /** Writes the trained values back into the tensors. */
  store(): void
}

/** Indices start here, so that they differ from the values of weights that are not trained. */
const firstIndex = 1000

/** @param isTrained whether a tensor is trained, by its full name in the checkpoint. */
export function makeTrainable<C extends object>(
  tensors: Tensors,
  metadata: Metadata,
  load: Loader<C>,
  isTrained: (name: string) => boolean,
): Trainable<C> {
  const names = [...tensors.keys()].filter(isTrained)
  const component = loadFrom(inFloat32(tensors, names), metadata, load)
  const indexed = loadFrom(withIndices(tensors, names), metadata, load)
  const parameters = new Map<string, tf.Variable>()
  const indicesOf = new Map<string, Float32Array>()
  visitTensors(component, indexed, '', (owner, key, path, value, indexTensor) => {
    const indices = indexTensor.dataSync<'float32'>()
    if (!indices.some((index) => index >= firstIndex)) return
    const variable = tf.variable(value, true, path)
    owner[key] = variable
    parameters.set(path, variable)
    indicesOf.set(path, indices)
  })
  return {
    component,
    parameters,
    store: () => {
      const flat = new Float32Array(sum(names.map((name) => sizeOf(tensors, name))))
      for (const [path, indices] of indicesOf) {
        const values = (parameters.get(path) as tf.Variable).dataSync<'float32'>()
        indices.forEach((index, i) => {
          flat[index - firstIndex] = values[i] as number
        })
      }
      unflatten(tensors, names, flat)
    },
  }
}

function loadFrom<C>(tensors: Tensors, metadata: Metadata, load: Loader<C>): C {
  const checkpoint = asCheckpoint(tensors, metadata)
  return load(ltxComponents(checkpoint), readModelConfig(checkpoint))
}

/** Native TensorFlow would keep bfloat16 weights in bfloat16, which a variable cannot be. */
function inFloat32(tensors: Tensors, names: readonly string[]): Tensors {
  const copy: Tensors = new Map(tensors)
  for (const name of names)
    copy.set(name, float32Tensor(valuesOf(tensors, name), (tensors.get(name) as { shape: number[] }).shape))
  return copy
}

/** Replaces every value of the named tensors by its index. */
function withIndices(tensors: Tensors, names: readonly string[]): Tensors {
  const copy: Tensors = new Map(tensors)
  let next = firstIndex
  for (const name of names) {
    const { shape } = tensors.get(name) as { shape: number[] }
    const count = shape.reduce((a, b) => a * b, 1)
    const indices = Float32Array.from({ length: count }, (_, i) => next + i)
    copy.set(name, float32Tensor(indices, shape))
    next += count
  }
  if (next > 2 ** 24) throw new Error('more weights than float32 can count exactly')
  return copy
}

/** Writes consecutive values into the named tensors. */
function unflatten(tensors: Tensors, names: readonly string[], flat: Float32Array) {
  let start = 0
  for (const name of names) {
    const { dtype, shape } = tensors.get(name) as { dtype: 'F32' | 'BF16'; shape: number[] }
    const values = flat.slice(start, start + sizeOf(tensors, name))
    tensors.set(name, { dtype, shape, bytes: dtype === 'F32' ? float32Bytes(values) : toBfloat16(values) })
    start += values.length
  }
}

const sizeOf = (tensors: Tensors, name: string) =>
  (tensors.get(name) as { shape: number[] }).shape.reduce((a, b) => a * b, 1)

type Owner = Record<string, unknown>

/** Calls back for every tensor of `a` and its counterpart in `b`, which has the same structure. */
function visitTensors(
  a: object,
  b: object,
  path: string,
  onTensor: (owner: Owner, key: string, path: string, a: tf.Tensor, b: tf.Tensor) => void,
) {
  for (const [key, value] of Object.entries(a)) {
    const other = (b as Owner)[key]
    const inner = path ? `${path}.${key}` : key
    if (value instanceof tf.Tensor) onTensor(a as Owner, key, inner, value, other as tf.Tensor)
    else if (typeof value === 'object' && value !== null) visitTensors(value, other as object, inner, onTensor)
  }
}
