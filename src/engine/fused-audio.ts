/**
 * Layers of the audio VAE and the vocoder as single ops: those of the addon, on CPUs (`addon/audio_kernels.cc`), or a kernel in WebAssembly. Where
 * `fusedAudio` says that an op cannot be used, the callers compose the same of TensorFlow.js.
 */
import * as tf from '@tensorflow/tfjs'
import { currentBackend } from './backend.ts'
import { fusedOps, intAttribute, intsAttribute, isNative, runOp, typeAttribute } from './native.ts'
import { hasWasmKernels, snakeTaps, wasmSnake } from './wasm-kernels.ts'

/**
 * Which ops can be used now: none where a gradient will be computed, because they have none. Convolutions need a processor with AMX, which multiplies
 * parts of float32 in bfloat16, several times as fast as float32.
 */
export function fusedAudio(): { normSilu: boolean; snake: boolean; convolution: boolean } {
  if (tf.engine().state.gradientDepth > 0) return { normSilu: false, snake: false, convolution: false }
  if (!isNative())
    return { normSilu: false, snake: currentBackend() === 'wasm' && hasWasmKernels(), convolution: false }
  const { any, float32Convolutions } = fusedOps()
  return { normSilu: any, snake: any, convolution: float32Convolutions }
}

export type ConvolutionGeometry = {
  /** The zeros before and after both axes. */
  padding: readonly [rows: readonly [number, number], columns: readonly [number, number]]
  dilation: number
}

const float32 = () => typeAttribute('T', 'float32')

/** `[B, H, W, in], [h, w, in, out] → [B, H', W', out]`. @param terms at most a bias `[out]` and a residual `[B, H', W', out]`, in this order. */
export function fusedConvolution(
  x: tf.Tensor4D,
  kernel: tf.Tensor4D,
  terms: readonly tf.Tensor[],
  { padding, dilation }: ConvolutionGeometry,
): tf.Tensor4D {
  const biases = terms.filter(({ rank }) => rank === 1).length
  const attributes = [
    float32(),
    intAttribute('bias_count', biases),
    intAttribute('residual_count', terms.length - biases),
    intsAttribute('sizes', [dilation, ...padding.flat()]),
  ]
  return runOp('LtxConvolution', [x, kernel, ...terms], attributes) as tf.Tensor4D
}

/** SiLU of the RMS norm over the last axis. */
export const fusedNormSilu = <T extends tf.Tensor>(x: T): T => runOp('LtxNormSilu', [x], [float32()]) as T

/** The taps of two filters, `[12]` each, and frequency and gain of each channel, `[C]`. */
export type AntiAliasedSnake = { up: tf.Tensor1D; down: tf.Tensor1D; frequency: tf.Tensor1D; gain: tf.Tensor1D }

/** Whether `fusedSnake` can be used now, and has code for filters of this length. */
export const canFuseSnake = ({ up, down }: Pick<AntiAliasedSnake, 'up' | 'down'>): boolean =>
  fusedAudio().snake && up.size === snakeTaps && down.size === snakeTaps

/**
 * x + gain · sin²(frequency · x) at twice the sample rate, `[B, N, C] → [B, N, C]`. The first filter doubles the rate, the second halves it; the first and
 * the last sample are repeated beyond the ends.
 */
export function fusedSnake(x: tf.Tensor3D, { up, down, frequency, gain }: AntiAliasedSnake): tf.Tensor3D {
  const parameters = [up, down, frequency, gain]
  if (!isNative()) return wasmSnake(x, parameters)
  return runOp('LtxAntiAliasedSnake', [x, ...parameters], [float32()]) as tf.Tensor3D
}
