/**
 * The training loop for whole components: the captured step and the AdamW of `src`, with a warm-up, a cosine schedule, and a state to resume from.
 */
import { existsSync } from 'node:fs'
import * as tf from '@tensorflow/tfjs'
import { capture, type NamedTensors } from '../../src/engine/capture.ts'
import { openSafetensors, writeSafetensors } from '../../src/formats/safetensors.ts'
import {
  adamWInGraph,
  globalNormInGraph,
  type OptimizerState,
  startOptimizer,
  type UpdateScalars,
  updateScalars,
} from '../../src/train/optimizer.ts'
import { float32Tensor } from '../base/tensors.ts'
import type { Trainable } from './trainable.ts'

export type TrainingLoopOptions<I extends NamedTensors> = {
  trainable: Pick<Trainable<unknown>, 'parameters'>
  /** The inputs of a step, the same for the same number. They are disposed of after the step. */
  inputsAt(step: number): I
  /** The loss, and other measures to be reported. */
  lossOf(inputs: I): { loss: tf.Scalar } & { [measure: string]: tf.Scalar }
  steps: number
  learningRate: number
  /** The longest time. The schedule ends with the steps or with the time, whichever comes first. */
  seconds?: number
  /** The file of the state. */
  state: string
  onStep(step: number, measures: Record<string, number>): void
}

const warmUpSteps = 100
const saveEvery = 250
const maxNorm = 1

/** Resumes from the state if there is one. */
export function runTrainingLoop<I extends NamedTensors>(options: TrainingLoopOptions<I>) {
  const { trainable, inputsAt, lossOf, steps, learningRate, seconds = Infinity, state, onStep } = options
  const optimizer = startOptimizer(trainable.parameters)
  const variables = [...trainable.parameters.values(), ...optimizer.first.values(), ...optimizer.second.values()]
  const started = performance.now()
  const { step: first, spent } = restore(state, variables)
  const elapsed = () => spent + (performance.now() - started) / 1000
  const update = captureUpdate(trainable, optimizer, variables, lossOf)
  optimizer.updates = first
  let step = first
  while (step < steps && elapsed() < seconds) {
    const rate = learningRate * learningRateFactor(step, Math.max(step / steps, elapsed() / seconds))
    const inputs = { ...inputsAt(step), ...updateScalars(optimizer, rate) }
    const outputs = update.run(inputs)
    const measures = Object.fromEntries(Object.entries(outputs).map(([name, x]) => [name, x.dataSync()[0] as number]))
    tf.dispose([inputs, outputs])
    if (Number.isFinite(measures.loss)) optimizer.updates++ // otherwise nothing was updated
    onStep(++step, measures)
    if (step % saveEvery === 0) save(state, variables, step, elapsed())
  }
  save(state, variables, step, elapsed())
  update.dispose()
}

/** A linear warm-up, and half a cosine down to zero. @param progress from 0 to 1. */
const learningRateFactor = (step: number, progress: number) =>
  Math.min(1, (step + 1) / warmUpSteps) * (0.5 + 0.5 * Math.cos(Math.PI * progress))

/** Gradients, clipping and AdamW as one graph. */
function captureUpdate<I extends NamedTensors>(
  { parameters }: TrainingLoopOptions<I>['trainable'],
  optimizer: OptimizerState,
  variables: readonly tf.Variable[],
  lossOf: TrainingLoopOptions<I>['lossOf'],
) {
  return capture(
    (inputs: I & UpdateScalars): NamedTensors => {
      let measures: NamedTensors = {}
      const { value: loss, grads } = tf.variableGrads(() => {
        const { loss, ...others } = lossOf(inputs)
        measures = Object.fromEntries(Object.entries(others).map(([name, x]) => [name, tf.keep(x)]))
        return loss
      }, [...parameters.values()])
      const gradients = new Map(Object.entries(grads))
      const norm = globalNormInGraph(gradients)
      adamWInGraph(parameters, optimizer, gradients, { ...inputs, loss, norm, maxNorm: tf.scalar(maxNorm) })
      return { ...measures, loss, norm }
    },
    { variables },
  )
}

function save(path: string, variables: readonly tf.Variable[], step: number, spent: number) {
  const tensors = variables.map(
    (variable, i) => [String(i), float32Tensor(variable.dataSync<'float32'>(), variable.shape)] as const,
  )
  writeSafetensors(path, new Map(tensors), { step: String(step), spent: String(spent) })
}

function restore(path: string, variables: readonly tf.Variable[]): { step: number; spent: number } {
  if (!existsSync(path)) return { step: 0, spent: 0 }
  const file = openSafetensors(path)
  variables.forEach((variable, i) => {
    const values = tf.tensor(file.float32(String(i)), variable.shape)
    variable.assign(values)
    values.dispose()
  })
  const { step, spent } = file.metadata
  file.close()
  return { step: Number(step), spent: Number(spent) }
}
