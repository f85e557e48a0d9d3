/**
 * Frozen weights in bfloat16, two to a word: half the memory of float32, and half of what a product reads. Products add up in float32. A matrix
 * `[out, in]` is stored as words `[out, in / 2]`, a tensor of integers, with the even column in the low half.
 */
import * as tf from '@tensorflow/tfjs'
import type { StoredTensor } from '../../formats/safetensors.ts'
import type { WebGpuBackend } from './backend.ts'
import { defineKernel, type Kernel, run } from './kernel.ts'

/** Whether a stored matrix can be packed. The widths of all released weights are even. */
export const isPackable = ({ dtype, shape }: Pick<StoredTensor, 'dtype' | 'shape'>) =>
  dtype === 'BF16' && shape.length === 2 && Number(shape[1]) % 2 === 0

/** Whether a matrix is packed: other matrices are not integers. */
export const isPacked = ({ dtype }: tf.Tensor) => dtype === 'int32'

/** Uploads a stored matrix as it is. `tf.tidy` does not dispose of it, its owner does. */
export function uploadPacked({ bytes, shape }: StoredTensor): tf.Tensor2D {
  const [rows, columns] = shape as [number, number]
  const words = new Int32Array(bytes.slice().buffer)
  const packed = tf.keep(tf.tensor2d(words, [rows, columns / 2], 'int32'))
  ;(tf.backend() as unknown as WebGpuBackend).uploadToGPU(packed.dataId) // otherwise the words stay in ordinary memory until they are used
  return packed
}

export type PackedProduct = {
  /** float32: T tokens of R features, `[T, R]`, or `[R, T]` if it is transposed. */
  x: tf.Tensor2D
  transposeX: boolean
  /** O · R values, packed: `[O, R]`, or `[R, O]` if it is transposed. */
  weight: tf.Tensor2D
  transposeWeight: boolean
  /** Whether the result is `[O, T]`. */
  transposeResult: boolean
}

/** x · weightᵀ: `[T, R], [O, R] → [T, O]`, each transposed if asked for. */
export function packedProduct({ x, weight, ...layout }: PackedProduct): tf.Tensor2D {
  const [tokens, terms] = layout.transposeX ? [x.shape[1], x.shape[0]] : x.shape
  const [rows, columns] = [weight.shape[0], 2 * weight.shape[1]]
  const [outputs, weightTerms] = layout.transposeWeight ? [columns, rows] : [rows, columns]
  if (terms !== weightTerms) throw new Error(`a product of ${terms} features with a weight of ${weightTerms}`)
  const name = [layout.transposeX, layout.transposeWeight, layout.transposeResult]
    .map((is) => (is ? 'T' : '-'))
    .join('')
  const kernel = kernels.get(name) ?? productKernel(name, layout)
  kernels.set(name, kernel)
  const [result] = run(kernel, {
    reads: [x, weight],
    writes: [layout.transposeResult ? [outputs, tokens] : [tokens, outputs]],
    uniforms: { tokens, terms, outputs },
    workgroups: [Math.ceil(outputs / tile), Math.ceil(tokens / tile)],
  })
  return result as tf.Tensor2D
}

/** Tokens and outputs of a workgroup. */
const tile = 64

/** Terms that a workgroup has in its memory at once. */
const depth = 16

const kernels = new Map<string, Kernel>()

type Layout = Pick<PackedProduct, 'transposeX' | 'transposeWeight' | 'transposeResult'>

/**
 * Each of 256 invocations computes 4 tokens × 4 outputs. It writes whole vectors to the memory of the workgroup: two invocations that write components of
 * one vector would be a race.
 */
const productKernel = (name: string, { transposeX, transposeWeight, transposeResult }: Layout): Kernel =>
  defineKernel({
    name: `packedProduct ${name}`,
    reads: { x: 'f32', weight: 'u32' },
    writes: { y: 'f32' },
    uniforms: { tokens: 'i32', terms: 'i32', outputs: 'i32' },
    invocations: 256,
    declarations: `
var<workgroup> tileX: array<vec4<f32>, ${(depth * tile) / 4}>;
var<workgroup> tileW: array<vec4<f32>, ${(depth * tile) / 4}>;
fn low(word: u32) -> f32 { return bitcast<f32>(word << 16u); }
fn high(word: u32) -> f32 { return bitcast<f32>(word & 0xffff0000u); }
fn xAt(token: i32, term: i32) -> f32 {
  if (token >= u.tokens || term >= u.terms) { return 0.0; }
  return x[${transposeX ? 'term * u.tokens + token' : 'token * u.terms + term'}];
}
fn weightAt(output: i32, term: i32) -> f32 {
  if (output >= u.outputs || term >= u.terms) { return 0.0; }
  let word = weight[output * (u.terms / 2) + term / 2];
  return select(low(word), high(word), term % 2 == 1);
}
fn weights(output: i32, term: i32) -> vec4<f32> {
${
  transposeWeight
    ? `  if (term >= u.terms) { return vec4<f32>(); }
  let at = term * (u.outputs / 2) + output / 2;
  var words = vec2<u32>();
  if (output < u.outputs) { words.x = weight[at]; }
  if (output + 2 < u.outputs) { words.y = weight[at + 1]; }
  return vec4<f32>(low(words.x), high(words.x), low(words.y), high(words.y));`
    : `  return vec4<f32>(weightAt(output, term), weightAt(output + 1, term), weightAt(output + 2, term), weightAt(output + 3, term));`
}
}`,
    body: `
  let firstToken = group.y * ${tile};
  let firstOutput = group.x * ${tile};
  let row = t / 16; // of 4 tokens
  let column = t % 16; // of 4 outputs
  var sums = array<vec4<f32>, 4>();
  for (var first = 0; first < u.terms; first += ${depth}) {
    // neighbours read neighbouring values
    let xTerm = ${transposeX ? 'row' : 'column'};
    let xRow = ${transposeX ? 'column' : 'row'};
    let token = firstToken + 4 * xRow;
    tileX[xTerm * 16 + xRow] = vec4<f32>(
      xAt(token, first + xTerm), xAt(token + 1, first + xTerm), xAt(token + 2, first + xTerm), xAt(token + 3, first + xTerm));
    let weightTerm = ${transposeWeight ? 'row' : 'column'};
    let weightColumn = ${transposeWeight ? 'column' : 'row'};
    tileW[weightTerm * 16 + weightColumn] = weights(firstOutput + 4 * weightColumn, first + weightTerm);
    workgroupBarrier();
    for (var term = 0; term < ${depth}; term++) {
      let a = tileX[term * 16 + row];
      let b = tileW[term * 16 + column];
      sums[0] += a.x * b;
      sums[1] += a.y * b;
      sums[2] += a.z * b;
      sums[3] += a.w * b;
    }
    workgroupBarrier();
  }
  for (var i = 0; i < 4; i++) {
    let token = firstToken + 4 * row + i;
    for (var j = 0; j < 4; j++) {
      let output = firstOutput + 4 * column + j;
      if (token < u.tokens && output < u.outputs) {
        y[${transposeResult ? 'output * u.tokens + token' : 'token * u.outputs + output'}] = sums[i][j];
      }
    }
  }`,
  })
