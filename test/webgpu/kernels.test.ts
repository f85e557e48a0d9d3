/** TensorFlow.js's kernels for WebGPU, each one that this project uses, against its kernels in plain JavaScript. */
import * as tf from '@tensorflow/tfjs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loraTargetModules } from '../../src/config/parameters.ts'
import { openSampler } from '../../src/diffusion/sampler.ts'
import { startBackend } from '../../src/engine/backend.ts'
import { decodeLatents, encodeMel, loadAudioVae } from '../../src/model/audio-vae/audio-vae.ts'
import { unpatchify } from '../../src/model/audio-vae/latents.ts'
import { openBase } from '../../src/model/base-model.ts'
import { detachLora } from '../../src/model/lora.ts'
import { loadVocoder, vocodeBatch } from '../../src/model/vocoder/vocoder.ts'
import { normals, randomFor } from '../../src/platform/random.ts'
import { createTrainer } from '../../src/train/trainer.ts'
import { ltx23, relativeError } from '../golden/golden.ts'
import { loadSmallModel, smallPairs, smallSettings } from '../train/small-model.ts'

/** Normal numbers, the same for each call in a case. */
type Input = <R extends tf.Rank>(...shape: number[]) => tf.Tensor<R>
type Case = { kernel: string; shapes: string; compute: (input: Input) => tf.Tensor }

const odd = [
  [1, 1],
  [1, 7],
  [5, 1],
  [3, 65],
  [17, 33],
] as const

const elementwise = (kernel: string, op: (x: tf.Tensor) => tf.Tensor): Case[] =>
  odd.map(([rows, columns]) => ({ kernel, shapes: `${rows}×${columns}`, compute: (input) => op(input(rows, columns)) }))

/** With operands of one shape, and with each kind of broadcast. */
const binary = (kernel: string, op: (x: tf.Tensor, y: tf.Tensor) => tf.Tensor): Case[] =>
  odd.flatMap(([rows, columns]) =>
    [[rows, columns], [1, columns], [rows, 1], [columns], []].map((other) => ({
      kernel,
      shapes: `${rows}×${columns} and ${other.join('×') || 'a scalar'}`,
      compute: (input: Input) => op(input(rows, columns), input(...other)),
    })),
  )

const reduction = (kernel: string, op: (x: tf.Tensor, axes?: number[]) => tf.Tensor): Case[] =>
  odd.flatMap(([rows, columns]) =>
    [undefined, [0], [1], [2], [0, 2]].map((axes) => ({
      kernel,
      shapes: `2×${rows}×${columns} over ${axes ?? 'all'}`,
      compute: (input: Input) => op(input(2, rows, columns), axes),
    })),
  )

const one = (kernel: string, shapes: string, compute: Case['compute']): Case => ({ kernel, shapes, compute })
const away = (x: tf.Tensor) => tf.add(tf.abs(x), 0.5) // from zero

const products = [
  [1, 1, 1],
  [1, 8, 5],
  [7, 1, 3],
  [33, 17, 65],
  [64, 128, 32],
  [5, 200, 1],
].flatMap(([m = 0, k = 0, n = 0]) =>
  [false, true].flatMap((transposeA) =>
    [false, true].flatMap((transposeB) =>
      [1, 3].map((batch) =>
        one('BatchMatMul', `${batch}×${m}×${k}×${n} ${transposeA} ${transposeB}`, (input) =>
          tf.matMul(
            input(batch, ...(transposeA ? [k, m] : [m, k])),
            input(batch, ...(transposeB ? [n, k] : [k, n])),
            transposeA,
            transposeB,
          ),
        ),
      ),
    ),
  ),
)

const convolutions = [
  { height: 9, width: 7, inputs: 1, outputs: 3, taps: [3, 3], stride: 1 },
  { height: 1, width: 33, inputs: 5, outputs: 4, taps: [1, 5], stride: 2 },
  { height: 12, width: 16, inputs: 8, outputs: 8, taps: [2, 3], stride: 1 },
].flatMap(({ height, width, inputs, outputs, taps: [h = 0, w = 0], stride }) => [
  one('Conv2D', `${height}×${width}×${inputs}, ${h}×${w}, stride ${stride}`, (input) =>
    tf.conv2d(input<tf.Rank.R4>(2, height, width, inputs), input<tf.Rank.R4>(h, w, inputs, outputs), stride, 'valid'),
  ),
  one('Conv2DBackpropInput', `${height}×${width}×${inputs}, ${h}×${w}, stride ${stride}`, (input) => {
    const filter = input<tf.Rank.R4>(h, w, inputs, outputs)
    return tf.grad((x) => tf.sum(tf.square(tf.conv2d(x as tf.Tensor4D, filter, stride, 'valid'))))(
      input(2, height, width, inputs),
    )
  }),
])

const cases: Case[] = [
  ...elementwise('Abs', tf.abs),
  ...elementwise('Cos', tf.cos),
  ...elementwise('Sin', tf.sin),
  ...elementwise('Exp', tf.exp),
  ...elementwise('IsFinite', (x) => tf.cast(tf.isFinite(tf.div(1, tf.sub(x, x))), 'float32')),
  ...elementwise('LeakyRelu', (x) => tf.leakyRelu(x, 0.1)),
  ...elementwise('Neg', tf.neg),
  ...elementwise('Round', (x) => tf.round(tf.mul(x, 3.3))),
  ...elementwise('Rsqrt', (x) => tf.rsqrt(away(x))),
  ...elementwise('Sigmoid', tf.sigmoid),
  ...elementwise('Softmax', (x) => tf.softmax(x)),
  ...elementwise('Sqrt', (x) => tf.sqrt(tf.abs(x))),
  ...elementwise('Square', tf.square),
  ...elementwise('Tanh', tf.tanh),
  ...elementwise('ZerosLike', (x) => tf.add(tf.zerosLike(x), 1)),
  ...elementwise('OnesLike', (x) => tf.add(tf.onesLike(x), 1)),
  ...elementwise('ClipByValue', (x) => tf.clipByValue(x, -0.5, 0.5)),
  ...elementwise('Identity', (x) => tf.add(x.clone(), 0)),
  ...elementwise('Log', (x) => tf.log(away(x))),
  ...elementwise('Step', (x) => tf.step(x)),
  ...elementwise('Transpose', (x) => tf.transpose(x)),
  ...elementwise('ExpandDims', (x) => tf.expandDims(x, 1)),
  ...elementwise('Reshape', (x) => tf.reshape(x, [-1])),
  ...elementwise('Cast', (x) => tf.cast(tf.cast(tf.mul(x, 10), 'int32'), 'float32')),
  ...elementwise('Fill', (x) => tf.add(x, tf.fill(x.shape, 2.5))),
  ...elementwise('Tile', (x) => tf.tile(x, [2, 3])),
  ...elementwise('PadV2', (x) =>
    tf.pad(x, [
      [1, 0],
      [2, 3],
    ]),
  ),
  ...elementwise('Concat', (x) => tf.concat([x, tf.neg(x), x], 1)),
  ...elementwise('Pack', (x) => tf.stack([x, tf.neg(x)], 1)),
  ...elementwise('Unpack', (x) => tf.add(tf.unstack(x, 1).at(-1) as tf.Tensor, 1)),
  ...elementwise('SplitV', (x) => tf.split(tf.concat([x, x], 0), 2, 0)[1] as tf.Tensor),
  ...elementwise('Slice', (x) => tf.slice(tf.concat([x, x], 1), [0, 1], [-1, x.shape[1] as number])),
  ...elementwise('StridedSlice', (x) => tf.stridedSlice(tf.tile(x, [3, 2]), [0, 1], [3, 2], [2, 1])),
  ...elementwise('Reverse', (x) => tf.reverse(x, [1])),
  ...elementwise('GatherV2', (x) => tf.gather(tf.concat([x, tf.neg(x)], 0), tf.tensor1d([1, 0, 1], 'int32'))),
  ...elementwise('AddN', (x) => tf.addN([x])),
  ...elementwise('AddN', (x) => tf.addN(Array.from({ length: 61 }, (_, i) => tf.mul(x, i)))),
  ...binary('Add', tf.add),
  ...binary('Sub', tf.sub),
  ...binary('Multiply', tf.mul),
  ...binary('RealDiv', (x, y) => tf.div(x, away(y))),
  ...binary('Pow', (x, y) => tf.pow(away(x), y)),
  ...binary('Maximum', tf.maximum),
  ...binary('Minimum', tf.minimum),
  ...binary('SquaredDifference', tf.squaredDifference),
  ...binary('Greater', (x, y) => tf.cast(tf.greater(x, y), 'float32')),
  ...odd.map(([rows, columns]) =>
    one('Select', `${rows}×${columns}`, (input) => {
      const x = input(rows, columns)
      return tf.where(tf.greater(x, 0), x, tf.mul(x, 5))
    }),
  ),
  ...reduction('Sum', (x, axes) => tf.sum(x, axes)),
  ...reduction('Mean', (x, axes) => tf.mean(x, axes)),
  ...reduction('Max', (x, axes) => tf.max(x, axes)),
  ...products,
  ...convolutions,
  ...[1, 2, 4].map((factor) =>
    one('ResizeNearestNeighbor', `${factor} times`, (input) =>
      tf.image.resizeNearestNeighbor(input<tf.Rank.R4>(2, 5, 7, 3), [5 * factor, 7 * factor]),
    ),
  ),
  ...[1, 2].map((stride) =>
    one('DepthwiseConv2dNative', `stride ${stride}`, (input) =>
      tf.depthwiseConv2d(input<tf.Rank.R4>(2, 9, 1, 6), input<tf.Rank.R4>(5, 1, 6, 1), stride, 'valid'),
    ),
  ),
]

/** Gives the same numbers in the same order, whatever the backend. */
function inputsOf({ kernel, shapes }: Case): Input {
  let count = 0
  return (...shape) => {
    const size = shape.reduce((product, n) => product * n, 1)
    return tf.tensor(normals(randomFor(1, kernel, shapes, count++), size), shape as never)
  }
}

async function valuesOn(backend: 'cpu' | 'webgpu', list: readonly Case[]) {
  await startBackend(backend)
  const results: { shape: number[]; values: ArrayLike<number> }[] = []
  for (const one of list) {
    const result = tf.tidy(() => one.compute(inputsOf(one)))
    results.push({ shape: result.shape, values: (await result.data()).slice() })
    result.dispose()
  }
  return results
}

const kernels = [...new Set(cases.map(({ kernel }) => kernel))]

it.each(kernels)('%s has the values of plain JavaScript', async (kernel) => {
  const list = cases.filter((one) => one.kernel === kernel)
  const [expected, actual] = [await valuesOn('cpu', list), await valuesOn('webgpu', list)]
  for (const [i, { shapes }] of list.entries()) {
    expect(actual[i]?.shape, shapes).toEqual(expected[i]?.shape)
    const error = relativeError(actual[i]?.values as ArrayLike<number>, expected[i]?.values as ArrayLike<number>)
    expect(error.max, shapes).toBeLessThan(tolerances[kernel] ?? 1e-5)
  }
})

/** Sine and cosine may have an absolute error of 2⁻¹¹ in WGSL. */
const tolerances: Record<string, number> = { Sin: 5e-4, Cos: 5e-4 }

describe('the kernels that are used', () => {
  const used = new Set<string>()
  const engine = tf.engine() as unknown as { runKernelFunc(params: { kernelName?: string }): unknown }
  const { runKernelFunc } = engine
  beforeAll(async () => {
    await startBackend('webgpu')
    engine.runKernelFunc = function (params) {
      if (params.kernelName !== undefined) used.add(params.kernelName)
      return runKernelFunc.call(this, params)
    }
  })
  afterAll(() => {
    engine.runKernelFunc = runKernelFunc
  })

  it('in a training, a preview and the encoding of clips are all compared', async () => {
    const model = loadSmallModel()
    const settings = { ...smallSettings, targetModules: loraTargetModules, steps: 2, accumulation: 2, ema: 0.9 }
    const trainer = createTrainer(model, smallPairs(2), settings)
    await trainer.run({})
    await trainer.evaluate()
    trainer.dispose()
    detachLora(model)

    const [pair] = smallPairs(1)
    const tensorOf = ({ shape, values }: { shape: [number, number]; values: Float32Array }) =>
      tf.tensor3d(values, [1, ...shape])
    if (!pair) throw new Error('there is no pair')
    const context = tensorOf(pair.context)
    const sampler = openSampler(model)
    const latents = await sampler.sample({
      ...{ noise: tensorOf(pair.target), reference: tensorOf(pair.reference), context, negativeContext: context },
      ...{ steps: 2, guidance: { cfg: 3, stg: 1, rescale: 0.7 } },
    })
    sampler.close()

    const { components, config } = openBase(ltx23.base)
    const vae = loadAudioVae(components.audioVae, config.audio_vae)
    const vocoder = loadVocoder(components.vocoder, config.vocoder as NonNullable<typeof config.vocoder>)
    const mel = tf.tidy(() => decodeLatents(vae, unpatchify(latents, 8)))
    await tf.tidy(() => encodeMel(vae, mel)).data()
    await tf.tidy(() => vocodeBatch(vocoder, mel)).data()

    expect([...used].filter((kernel) => !kernels.includes(kernel))).toEqual([])
    expect(used.size).toBeGreaterThan(20)
  })
})
