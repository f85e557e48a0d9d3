/** Where the tokens of a caption stand, and which earlier ones each of them sees (spec §5.3). */
import * as tf from '@tensorflow/tfjs'
import type { Rotation } from '../rope.ts'
import type { GemmaConfig, LayerKind } from './gemma-config.ts'

/** The rotation is the same for all heads, `[1, 1, S, headDim / 2]`; the mask is added to the scores, `[S, S]`. */
export type Positions = { rotation: Rotation; mask: tf.Tensor2D }

/** The first `tokens` positions, from 0: only distances matter, so the padding that upstream puts before a caption is left out. */
export function positionsOf(config: GemmaConfig, kind: LayerKind, tokens: number): Positions {
  const window = kind === 'sliding_attention' ? config.slidingWindow : Number.POSITIVE_INFINITY
  return { rotation: rotationOf(config, kind, tokens), mask: causalMask(tokens, window) }
}

/** The same for a caption of only so many tokens. */
export function firstPositions({ rotation, mask }: Positions, tokens: number): Positions {
  const rows = (table: tf.Tensor4D) => tf.slice(table, [0, 0, 0, 0], [1, 1, tokens, -1])
  return {
    rotation: { cos: rows(rotation.cos), sin: rows(rotation.sin) },
    mask: tf.slice(mask, [0, 0], [tokens, tokens]),
  }
}

function rotationOf({ headDim, rope }: GemmaConfig, kind: LayerKind, tokens: number): Rotation {
  const { theta, factor } = rope[kind]
  const half = headDim / 2
  const angles = Float64Array.from({ length: tokens * half }, (_, i) => {
    const [position, j] = [Math.floor(i / half), i % half]
    return (position / factor) * theta ** ((-2 * j) / headDim)
  })
  const shape: [number, number, number, number] = [1, 1, tokens, half]
  return {
    cos: tf.tensor4d(Float32Array.from(angles, Math.cos), shape),
    sin: tf.tensor4d(Float32Array.from(angles, Math.sin), shape),
  }
}

/** 0 where a token (row) sees another (column), else −∞. */
function causalMask(tokens: number, window: number): tf.Tensor2D {
  const mask = new Float32Array(tokens * tokens).fill(Number.NEGATIVE_INFINITY)
  for (let token = 0; token < tokens; token++)
    mask.fill(0, token * tokens + Math.max(0, token - window + 1), token * tokens + token + 1)
  return tf.tensor2d(mask, [tokens, tokens])
}
