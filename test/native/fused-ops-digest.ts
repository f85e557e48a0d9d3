/** Prints a digest of what fused products and attention compute. The environment sets the number of threads. */
import { createHash } from 'node:crypto'
import * as tf from '@tensorflow/tfjs'
import { rmsNormSilu } from '../../src/engine/activations.ts'
import { startBackend } from '../../src/engine/backend.ts'
import { conv2d } from '../../src/engine/convolution.ts'
import { currentOperations } from '../../src/engine/current-operations.ts'
import { fusedAudio } from '../../src/engine/fused-audio.ts'
import { toComputeDtype, toFloat32 } from '../../src/engine/native-ops.ts'
import { randomTensor } from '../model/gradients/layers.ts'

await startBackend('tensorflow', { precision: 'bfloat16' })
const ops = currentOperations()
const matrix = (name: string, shape: number[]) => toComputeDtype(randomTensor(name, shape))

const weight = { stored: matrix('weight', [700, 400]) as tf.Tensor2D, shape: [700, 400] as [number, number] }
const [x, dy] = [matrix('x', [300, 400]), matrix('dy', [300, 700])]
const layout = { from: 'tokens', to: 'tokens' } as const
const { y, saved } = ops.linear({ weight }, x, layout)
const { dx } = ops.linearGradient({ weight }, { x, dy, saved, ...layout, needsInputGradient: true })

const [query, key, value] = [matrix('q', [4, 64, 300]), matrix('k', [4, 64, 500]), matrix('v', [4, 64, 500])]
const inputs = { query: query as tf.Tensor, key: key as tf.Tensor, value: value as tf.Tensor }
const attended = ops.attention(inputs)
const needs = { key: true, value: true }
const backward = { ...inputs, saved: attended.saved, dy: attended.y, sums: tf.ones([4, 1, 300]), needs }
const gradients = ops.attentionGradient(backward)

const sound = randomTensor<tf.Rank.R4>('sound', [1, 70, 64, 40])
const kernel = randomTensor<tf.Rank.R4>('kernel', [3, 3, 40, 70])
const padding = [
  [2, 0],
  [1, 1],
] as const
const convolved = fusedAudio().convolution ? [conv2d(sound, kernel, { padding })] : []

const results = [
  ...convolved,
  rmsNormSilu(sound),
  y,
  dx,
  attended.y,
  gradients.query,
  gradients.key,
  gradients.value,
  ops.gelu(y),
] as tf.Tensor[]
const hash = createHash('sha256')
for (const result of results) hash.update(Buffer.from((toFloat32(result).dataSync() as Float32Array).buffer))
console.log(hash.digest('hex'))
