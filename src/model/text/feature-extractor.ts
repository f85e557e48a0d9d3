/**
 * The feature extractor (reference §5.4): every hidden state is normalized, and one linear layer maps all of them to one feature vector per token. It
 * is computed hidden state by hidden state, so that the 49 states of the released tower need not be in memory together.
 */
import { setImmediate } from 'node:timers/promises'
import * as tf from '@tensorflow/tfjs'
import { castInPlace, constant, frozenMatrix } from '../../engine/device-tensors.ts'
import { matMulFrozen } from '../../engine/matmul.ts'
import { bytesPerElement } from '../../formats/dtypes.ts'
import type { StoredTensor } from '../../formats/safetensors.ts'
import { rmsNorm } from '../layers.ts'
import type { Weights } from '../weights.ts'

/** The weight is `[D, captionWidth · stateCount]` as stored: hidden state l has the columns d · stateCount + l. */
export type FeatureExtractor = { weight: StoredTensor; bias: tf.Tensor1D; captionWidth: number; stateCount: number }

/** @param weights the component's weights, from `ltxComponents`. The shape of the matrix determines the number of hidden states. */
export function loadFeatureExtractor(weights: Weights, captionWidth: number, width: number): FeatureExtractor {
  const weight = weights.read('audio_aggregate_embed.weight', [width, null])
  const bias = constant<tf.Rank.R1>(weights.read('audio_aggregate_embed.bias', [width]))
  return { weight, bias, captionWidth, stateCount: (weight.shape[1] as number) / captionWidth }
}

/**
 * The features of every caption, `[S, D]`. The event loop runs after each hidden state.
 * @param states for each hidden state one `[S, captionWidth]` per caption, as `hiddenStates` yields them.
 */
export async function extractFeatures(
  extractor: FeatureExtractor,
  states: Iterable<tf.Tensor2D[]>,
  onState: (state: number) => void = () => {},
): Promise<tf.Tensor2D[]> {
  let features: tf.Tensor2D[] | undefined
  let state = 0
  for (const hidden of states) {
    const sums = addHiddenState(extractor, state, hidden, features)
    tf.dispose(features)
    features = sums
    onState(state++)
    await setImmediate()
  }
  return features ?? []
}

function addHiddenState(extractor: FeatureExtractor, state: number, hidden: tf.Tensor2D[], features?: tf.Tensor2D[]) {
  const { weight, bias, captionWidth, stateCount } = extractor
  const matrix = frozenMatrix(everyNthColumn(weight, stateCount, state))
  castInPlace(matrix)
  const scale = Math.sqrt((weight.shape[0] as number) / captionWidth)
  const sums = hidden.map((x, caption) =>
    tf.tidy(() => tf.add<tf.Tensor2D>(matMulFrozen(tf.mul(rmsNorm(x), scale), matrix), features?.[caption] ?? bias)),
  )
  tf.dispose(matrix)
  return sums
}

/** The columns first, first + step, first + 2·step, … of a stored matrix. Its width is a multiple of the step. */
function everyNthColumn({ bytes, dtype, shape }: StoredTensor, step: number, first: number): StoredTensor {
  const [rows, columns] = shape as [number, number]
  const View = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array, 8: BigUint64Array }[bytesPerElement[dtype]]
  const count = (rows * columns) / step
  const elements = new View(bytes.buffer as ArrayBuffer, bytes.byteOffset, rows * columns)
  const selected = new View(count)
  for (let i = 0; i < count; i++) selected[i] = elements[first + i * step] as never
  return { dtype, shape: [rows, columns / step], bytes: new Uint8Array(selected.buffer) }
}
