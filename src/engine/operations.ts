/**
 * The operations of a transformer block, forward and backward. A block is written with these and a few float32 functions of TensorFlow.js (`add`, `mul`,
 * `reshape`, `unstack`, `zerosLike`), so a backend that implements them runs and trains it.
 *
 * Shapes: N tokens, S tokens that are attended to, D features, H heads of d features each. The residual stream is `[N, D]`. Attention uses `[D, N]`:
 * reshaped to `[H, d, N]`, the heads are a stack of matrices without a transpose.
 *
 * Data types: a *matrix* is a tensor in the precision of matrix products, which the backend chooses. The residual stream, norms, modulation, the trained
 * factors and their gradients are float32.
 *
 * What the backward pass needs is a result of the forward pass; what is cheap to compute is computed again. Gradients are those of the sum of y · dy. Only
 * LoRA factors are trained: weights, biases, norm weights and modulation have no gradients. Results may share memory with inputs; `tf.tidy` around the
 * forward and the backward pass disposes of everything else.
 */
import type * as tf from '@tensorflow/tfjs'
import type { FrozenMatrix } from './device-tensors.ts'
import type { TensorTree } from './tensor-tree.ts'

/** What the rows of a matrix of activations are: tokens, `[N, D]`, or features, `[D, N]`. */
export type Rows = 'tokens' | 'features'

/** The layouts of a linear layer's input and output. */
export type Layout = { from: Rows; to: Rows }

/** loraA `[rank, in]`, loraB `[out, rank]`. The layer's weight becomes W + scale · loraB · loraA. */
export type LoraFactors = { a: tf.Tensor2D; b: tf.Tensor2D; scale: number }

/** A linear layer with a frozen weight `[out, in]` and, while a LoRA is attached, its trained factors. */
export type LinearWeights = { weight: FrozenMatrix; bias?: tf.Tensor1D; lora?: LoraFactors }

/** x · loraAᵀ where there is a LoRA, a matrix in the layout of the output: `[N, rank]` or `[rank, N]`. */
export type SavedLinear = { down?: tf.Tensor | undefined }

export type LinearGradientInputs = Layout & {
  /** Matrices in the layouts of input and output. */
  x: tf.Tensor
  dy: tf.Tensor
  saved: SavedLinear
  /** False where nothing before the layer is trained. */
  needsInputGradient: boolean
}

/** `dx` has the layout of x. `factors` are the gradients of loraA and loraB, where there is a LoRA. */
export type LinearGradient = { dx?: tf.Tensor2D; factors: tf.Tensor2D[] }

/** Queries or keys after the RMS norm, without its weight, a matrix `[D, N]`, and the inverse RMS of each token, float32 `[1, N]`. */
export type NormedQueryKey = { normed: tf.Tensor; inverse: tf.Tensor }

/** What normed queries or keys are multiplied with, `[D, 1]` (for queries it includes 1 / √d), and the positions that they are rotated by. */
export type QueryKeyTransform = { scale?: tf.Tensor | undefined; rope?: RotaryTable | undefined }

/**
 * A shift, scale or gate for each token, that of its noise level, from `Operations.rowsOfLevels`: `[N, D]`, or the rows by level, `[2, D]`, and the level of
 * each token, `[N]`. Backends choose.
 */
export type TokenRows = tf.Tensor2D | { rows: tf.Tensor2D; levels: tf.Tensor }

/** Cosines and sines, float32 `[H, d / 2, N]`. The halves [a, b] of a head's features become [a·cos − b·sin, b·cos + a·sin]. */
export type RotaryTable = { cos: tf.Tensor; sin: tf.Tensor }

/** Query `[H, d, N]`, key and value `[H, d, S]`. */
export type AttentionInputs = { query: tf.Tensor; key: tf.Tensor; value: tf.Tensor }

export type AttentionGradientInputs = AttentionInputs & {
  saved: TensorTree
  /** The gradient of the result, `[H, d, N]`. */
  dy: tf.Tensor
  /** The sums of y · dy over the features of a head, `[H, 1, N]`, in float32. */
  sums: tf.Tensor
  /** Which gradients are used, besides that of the query. */
  needs: { key: boolean; value: boolean }
}

export type Operations = {
  /** x · Wᵀ + b, plus scale · (x · loraAᵀ) · loraBᵀ where a LoRA is attached: matrices `[N, in] → [N, out]`. */
  linear(layer: LinearWeights, x: tf.Tensor, layout: Layout): { y: tf.Tensor2D; saved: SavedLinear }
  linearGradient(layer: LinearWeights, inputs: LinearGradientInputs): LinearGradient

  /** Matrices `[D, N] → [H, d, N]`, and back. */
  splitHeads(x: tf.Tensor, heads: number): tf.Tensor
  joinHeads(x: tf.Tensor): tf.Tensor

  /** x / √(mean(x²) + 1e-6) over all D features of a token, matrices `[D, N] → [D, N]`. */
  normalizeQueryKey(x: tf.Tensor): NormedQueryKey
  /** Scales and rotates normed queries or keys, and splits their heads: matrices `[D, N] → [H, d, N]`. */
  scaleAndRotate(normed: NormedQueryKey, heads: number, transform: QueryKeyTransform): tf.Tensor
  /** The gradient of what was normalized, from that of what `scaleAndRotate` returned: matrices `[H, d, N] → [D, N]`. */
  scaleAndRotateGradient(dy: tf.Tensor, normed: NormedQueryKey, transform: QueryKeyTransform): tf.Tensor

  /** Whether attention saves its probabilities, a matrix `[H, N, S]`. */
  savesProbabilities: boolean
  /** For every head, value · softmax(queryᵀ · key)ᵀ, without a mask: a matrix `[H, d, N]`. The softmax over S is float32. */
  attention(inputs: AttentionInputs): { y: tf.Tensor; saved: TensorTree }
  attentionGradient(inputs: AttentionGradientInputs): { query: tf.Tensor; key?: tf.Tensor; value?: tf.Tensor }

  /** 2 · sigmoid(logits), one gate per head and token: matrices `[H, N] → [H, 1, N]`. */
  headGates(logits: tf.Tensor2D): tf.Tensor
  /** The heads times their gates, joined: matrices `[H, d, N] → [D, N]`. */
  gateHeads(y: tf.Tensor, gates: tf.Tensor | undefined): tf.Tensor
  /**
   * From dy, the gradient of what `gateHeads` returned, `[D, N]`, and y, its input before the gates: the gradients of the heads `[H, d, N]` and of the
   * logits `[H, N]`, and the sums that `attentionGradient` takes.
   */
  gateHeadsGradient(
    dy: tf.Tensor,
    y: tf.Tensor,
    gates: tf.Tensor | undefined,
  ): { dHeads: tf.Tensor; dLogits?: tf.Tensor2D; sums: tf.Tensor }

  /** x / √(mean(x²) + 1e-6) · (1 + scale) + shift, the mean over the features: x float32 `[N, D]` → matrix. */
  modulatedNorm(x: tf.Tensor, shift: TokenRows, scale: TokenRows): tf.Tensor
  /** residual + the gradient of x, float32 `[N, D]`. The gradient of the result is the sum of dy, one matrix or several. */
  modulatedNormGradient(inputs: {
    dy: readonly tf.Tensor[]
    x: tf.Tensor
    scale: TokenRows
    residual: tf.Tensor
  }): tf.Tensor
  /** x · (1 + scale) + shift: float32 `[S, D]`, shift and scale `[1, D]` → matrix. */
  modulate(x: tf.Tensor, shift: tf.Tensor, scale: tf.Tensor): tf.Tensor

  /** x + gate · y: x float32 `[N, D]`, y a matrix. The residual stream after a part of the block. */
  addGated(x: tf.Tensor, gate: TokenRows, y: tf.Tensor): tf.Tensor
  /** dy · gate, the gradient of y: a matrix. */
  gatedGradient(dy: tf.Tensor, gate: TokenRows): tf.Tensor

  /** GELU in its tanh approximation, of a matrix. */
  gelu(x: tf.Tensor): tf.Tensor
  geluGradient(dy: tf.Tensor, x: tf.Tensor): tf.Tensor

  /** float32 → matrix, and back. */
  toMatrix(x: tf.Tensor): tf.Tensor
  toFloat32(x: tf.Tensor): tf.Tensor
  /** For each token its noise level, 0 or 1, in the form that `rowsOfLevels` takes. */
  levels(noisy: readonly (0 | 1)[]): tf.Tensor
  /** The row of each token's noise level: float32 `[2, D] → [N, D]`. */
  rowsOfLevels(rows: tf.Tensor2D, levels: tf.Tensor): TokenRows
}
