/**
 * All hidden states of a caption to one row of features per token (reference §5.4): every state is normalised, then one linear layer reads them
 * all. It is computed level by level, so that the 49 states of a 12-billion-weight tower need not be held at once.
 */
import { setImmediate } from 'node:timers/promises'
import * as tf from '@tensorflow/tfjs'
import { castInPlace, constant, frozenMatrix } from '../../engine/device-tensors.ts'
import { matMulFrozen } from '../../engine/matmul.ts'
import { bytesPerElement } from '../../formats/dtypes.ts'
import type { StoredTensor } from '../../formats/safetensors.ts'
import { rmsNorm } from '../layers.ts'
import type { Weights } from '../weights.ts'

/** `weight` `[D, captionWidth · levels]` stays as stored: level l owns the columns d · levels + l. */
export type FeatureExtractor = { weight: StoredTensor; bias: tf.Tensor1D; captionWidth: number; stateCount: number }

/** @param weights the component's, as `ltxComponents` finds it; its width says how many levels it reads. */
export function loadFeatureExtractor(weights: Weights, captionWidth: number, width: number): FeatureExtractor {
  const weight = weights.read('audio_aggregate_embed.weight', [width, null])
  const bias = constant<tf.Rank.R1>(weights.read('audio_aggregate_embed.bias', [width]))
  return { weight, bias, captionWidth, stateCount: (weight.shape[1] as number) / captionWidth }
}

/**
 * Features of every caption, `[S, D]`. Signals and timers get a turn after each level.
 * @param states one list of hidden states `[S, captionWidth]` per level, as `hiddenStates` gives them.
 */
export async function extractFeatures(
  extractor: FeatureExtractor,
  states: Iterable<tf.Tensor2D[]>,
  onLevel: (level: number) => void = () => {},
): Promise<tf.Tensor2D[]> {
  let features: tf.Tensor2D[] | undefined
  let level = 0
  for (const hidden of states) {
    const sums = addHiddenState(extractor, level, hidden, features)
    tf.dispose(features)
    features = sums
    onLevel(level++)
    await setImmediate()
  }
  return features ?? []
}

function addHiddenState(extractor: FeatureExtractor, level: number, hidden: tf.Tensor2D[], features?: tf.Tensor2D[]) {
  const { weight, bias, captionWidth, stateCount: levels } = extractor
  const matrix = frozenMatrix(everyNthColumn(weight, levels, level))
  castInPlace(matrix)
  const scale = Math.sqrt((weight.shape[0] as number) / captionWidth)
  const sums = hidden.map((x, caption) =>
    tf.tidy(() => tf.add<tf.Tensor2D>(matMulFrozen(tf.mul(rmsNorm(x), scale), matrix), features?.[caption] ?? bias)),
  )
  tf.dispose(matrix)
  return sums
}

/** Columns `first`, `first + step`, … of a stored matrix whose width is a multiple of the step. */
function everyNthColumn({ bytes, dtype, shape }: StoredTensor, step: number, first: number): StoredTensor {
  const [rows, columns] = shape as [number, number]
  const View = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array, 8: BigUint64Array }[bytesPerElement[dtype]]
  const count = (rows * columns) / step
  const elements = new View(bytes.buffer as ArrayBuffer, bytes.byteOffset, rows * columns)
  const chosen = new View(count)
  for (let i = 0; i < count; i++) chosen[i] = elements[first + i * step] as never
  return { dtype, shape: [rows, columns / step], bytes: new Uint8Array(chosen.buffer) }
}
