/** AdamW with decoupled weight decay, and clipping by the global norm (spec §7.5). */
import * as tf from '@tensorflow/tfjs'
import { outlined } from '../engine/graph-function.ts'
import { runOp, typeAttribute } from '../engine/native.ts'
import { updateInPlace } from '../engine/recorded-variables.ts'
import type { LoraParameters } from '../model/lora.ts'

export const betas = [0.9, 0.999] as const
export const epsilon = 1e-8
export const weightDecay = 0.01

/** The moments of every parameter, under the parameter's own name, and how many updates made them. */
export type OptimizerState = { updates: number; first: Map<string, tf.Variable>; second: Map<string, tf.Variable> }

export function startOptimizer(parameters: LoraParameters): OptimizerState {
  const zeros = (moment: string) =>
    new Map([...parameters].map(([name, like]) => [name, momentVariable(`${moment}.${name}`, tf.zerosLike(like))]))
  return { updates: 0, first: zeros('first'), second: zeros('second') }
}

export function disposeOptimizer({ first, second }: OptimizerState) {
  tf.dispose([...first.values(), ...second.values()])
}

/** √Σ‖gradient‖². */
export const globalNorm = (gradients: ReadonlyMap<string, tf.Tensor>): tf.Scalar =>
  tf.tidy(() => tf.sqrt(tf.addN([...gradients.values()].map((gradient) => tf.sum(tf.square(gradient))))))

/**
 * One update in place. Gradients longer than `maxNorm` altogether are shortened to it.
 * @param norm the gradients' global norm.
 */
export function adamWStep(
  parameters: LoraParameters,
  state: OptimizerState,
  gradients: ReadonlyMap<string, tf.Tensor>,
  { learningRate, norm, maxNorm }: { learningRate: number; norm: tf.Scalar; maxNorm: number },
) {
  state.updates++
  const [beta1, beta2] = betas
  const stepSize = learningRate / (1 - beta1 ** state.updates)
  const secondScale = 1 / Math.sqrt(1 - beta2 ** state.updates)
  tf.tidy(() => {
    const shortening = tf.minimum(1, tf.div(maxNorm, tf.add(norm, 1e-6))) // as torch clips, with its 1e-6
    for (const [name, parameter] of parameters) {
      const gradient = tf.mul(gradients.get(name) as tf.Tensor, shortening)
      const first = state.first.get(name) as tf.Variable
      const second = state.second.get(name) as tf.Variable
      first.assign(tf.add(tf.mul(first, beta1), tf.mul(gradient, 1 - beta1)))
      second.assign(tf.add(tf.mul(second, beta2), tf.mul(tf.square(gradient), 1 - beta2)))
      const change = tf.div(first, tf.add(tf.mul(tf.sqrt(second), secondScale), epsilon))
      parameter.assign(tf.sub(tf.mul(parameter, 1 - learningRate * weightDecay), tf.mul(change, stepSize)))
    }
  })
}

/** The global norm inside a graph, with TensorFlow's own kernel for a sum of squares: half of it, √2 of its root. */
export const globalNormInGraph = (gradients: ReadonlyMap<string, tf.Tensor>): tf.Scalar => {
  const halves = [...gradients.values()].map((gradient) => runOp('L2Loss', [gradient], [typeAttribute('T', 'float32')]))
  return tf.sqrt(tf.mul(2, tf.addN(halves))) as tf.Scalar
}

/** The numbers of an update that differ from step to step, as inputs of a captured step. */
export type UpdateScalars = { learningRate: tf.Scalar; beta1Power: tf.Scalar; beta2Power: tf.Scalar }

export const updateScalars = ({ updates }: OptimizerState, learningRate: number): UpdateScalars => ({
  learningRate: tf.scalar(learningRate),
  beta1Power: tf.scalar(betas[0] ** (updates + 1)),
  beta2Power: tf.scalar(betas[1] ** (updates + 1)),
})

/**
 * The same update inside a graph, with TensorFlow's own kernel: one pass over memory. Where loss or norm is not a number it changes nothing. It does
 * not count: the caller does when it has seen the norm.
 */
export function adamWInGraph(
  parameters: LoraParameters,
  state: OptimizerState,
  gradients: ReadonlyMap<string, tf.Tensor>,
  { loss, norm, maxNorm, ...scalars }: UpdateScalars & { loss: tf.Scalar; norm: tf.Scalar; maxNorm: tf.Scalar },
) {
  const { beta1Power, beta2Power } = scalars
  const finite = tf.isFinite(tf.add(loss, norm))
  const orElse = (x: tf.Tensor, otherwise: number) => tf.where(finite, x, tf.scalar(otherwise))
  const learningRate = orElse(scalars.learningRate, 0)
  const [beta1, beta2] = betas.map((beta) => orElse(tf.scalar(beta), 1)) as [tf.Tensor, tf.Tensor]
  const shortening = orElse(tf.minimum(1, tf.div(maxNorm, tf.add(norm, 1e-6))), 0)
  // the kernel adds its epsilon before it corrects the second moment
  const uncorrected = tf.mul(tf.sqrt(tf.sub(1, beta2Power)), epsilon)
  const decay = tf.mul(learningRate, weightDecay)
  const scaling = { learningRate, beta1, beta2, beta1Power, beta2Power, uncorrected, decay, shortening }
  for (const names of groupsOf(parameters)) {
    const trained = names.map((name) => ({
      gradient: gradients.get(name) as tf.Tensor,
      variables: [parameters, state.first, state.second].map((kind) => kind.get(name) as tf.Variable),
    }))
    const given = { scaling, gradients: trained.map(({ gradient }) => gradient) }
    outlined('update', { given, variables: trained.flatMap(({ variables }) => variables) }, () => {
      for (const { gradient, variables } of trained) updateInGraph(gradient, variables, scaling)
      return []
    })
  }
}

type Scaling = { [name in 'learningRate' | 'beta1' | 'beta2' | 'beta1Power' | 'beta2Power']: tf.Tensor } & {
  [name in 'uncorrected' | 'decay' | 'shortening']: tf.Tensor
}

/** @param variables the parameter and its two moments. */
function updateInGraph(gradient: tf.Tensor, variables: readonly tf.Variable[], scaling: Scaling) {
  const [parameter] = variables as [tf.Variable]
  const { learningRate, beta1, beta2, beta1Power, beta2Power, uncorrected, decay, shortening } = scaling
  const [type, dtype] = [typeAttribute('T', 'float32'), typeAttribute('dtype', 'float32')]
  const shortened = runOp('MulNoNan', [gradient, shortening], [type]) // 0 where shortening is 0
  const decayed = updateInPlace('AssignSubVariableOp', [parameter], [tf.mul(parameter, decay)], [dtype])
  const rest = [beta1Power, beta2Power, learningRate, beta1, beta2, uncorrected, shortened]
  updateInPlace('ResourceApplyAdam', variables, rest, [type], [decayed])
}

/** The names of the parameters of one block together: of all blocks the same, they are one function of the graph. */
function groupsOf(parameters: LoraParameters): string[][] {
  const groups = new Map<string, string[]>()
  for (const name of parameters.keys()) {
    const block = /^.*?\.\d+\./.exec(name)?.[0] ?? ''
    groups.set(block, [...(groups.get(block) ?? []), name])
  }
  return [...groups.values()]
}

function momentVariable(name: string, initial: tf.Tensor) {
  const created = tf.variable(initial, false, name)
  initial.dispose()
  return created
}

/** How the learning rate falls over a run (spec §7.5). */

export type LearningRateSchedule = 'linear' | 'constant' | 'cosine'

/** The factor before the update `step` (0-based) of `steps`: linear falls from 1 to 0.1, cosine from 1 to 0. */
export function learningRateFactor(schedule: LearningRateSchedule, step: number, steps: number): number {
  const progress = Math.min(step / steps, 1)
  switch (schedule) {
    case 'constant':
      return 1
    case 'cosine':
      return (1 + Math.cos(Math.PI * progress)) / 2
    case 'linear':
      return 1 - 0.9 * progress
  }
}
