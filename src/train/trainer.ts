/** The loop that turns encoded pairs into a LoRA. It reports what happens and writes nothing: files are its listeners' business. */
import { setImmediate } from 'node:timers/promises'
import * as tf from '@tensorflow/tfjs'
import { type Example, pairRotation, velocityLoss } from '../diffusion/objective.ts'
import { capture } from '../engine/capture.ts'
import { type HostMatrix, toBatch } from '../engine/device-tensors.ts'
import { attachNewLora, findTargets, type LoraParameters } from '../model/lora.ts'
import type { RopeTable } from '../model/rope.ts'
import type { Transformer } from '../model/transformer/transformer.ts'
import { randomFor } from '../platform/random.ts'
import { createStep } from './captured-step.ts'
import {
  disposeOptimizer,
  type LearningRateSchedule,
  learningRateFactor,
  type OptimizerState,
  startOptimizer,
} from './optimizer.ts'
import { type Draw, drawFor, drawsForStep } from './sampling.ts'
import { NonFiniteLoss } from './step.ts'

/** A pair ready for training: patches `[T, 128]` and a context `[S, D]`. */
export type EncodedPair = { name: string; target: HostMatrix; reference: HostMatrix; context: HostMatrix }

export type TrainerSettings = {
  rank: number
  alpha: number
  targetModules: readonly string[]
  seed: number
  steps: number
  learningRate: number
  schedule: LearningRateSchedule
  accumulation: number
}

/** What happened in one step. */
export type StepReport = {
  step: number
  loss: number
  learningRate: number
  gradientNorm: number
  sigmas: number[]
  pairs: string[]
  seconds: number
}

export type TrainerListeners = {
  /** After each step, 1-based. Previews and checkpoints happen here; training waits. */
  onStep?: (report: StepReport, trainer: Trainer) => void | Promise<void>
  /** Asked between steps; true ends the training early. */
  shouldStop?: () => boolean
}

export type Trainer = {
  readonly model: Transformer
  readonly parameters: LoraParameters
  readonly optimizer: OptimizerState
  /** How many steps are done. */
  step: number
  /** The mean loss over the same few pairs, sigmas and noises each time: the one number that shows learning without luck. */
  fixedLoss(): number
  run(listeners: TrainerListeners): Promise<void>
  /** Frees what the trainer made; the model and its LoRA stay. */
  dispose(): void
}

/** How many draws the fixed loss is a mean of. */
const fixedDraws = 8

export function createTrainer(model: Transformer, pairs: readonly EncodedPair[], settings: TrainerSettings): Trainer {
  const { seed, rank, alpha } = settings
  const linears = findTargets(model, settings.targetModules)
  const parameters = attachNewLora(linears, rank, alpha, randomFor(seed, 'lora'))
  const optimizer = startOptimizer(parameters)
  const rotations = new Map<string, RopeTable>()
  const shapeOf = (pair: number) => (pairs[pair] as EncodedPair).target.shape

  const exampleOf = (draw: Draw) => example(pairs[draw.pair] as EncodedPair, draw)
  const lossOf = (example: Example) => velocityLoss(model, example, rotationOf(example))
  const rotationOf = ({ reference, target }: Example) => {
    const [frames, targetFrames] = [reference.shape[1], target.shape[1]]
    const key = `${frames}+${targetFrames}`
    const rotation = rotations.get(key) ?? keepRotation(pairRotation(model, frames, targetFrames))
    rotations.set(key, rotation)
    return rotation
  }

  const step = createStep(parameters, optimizer, lossOf)
  const alone = capture((example: Example) => ({ loss: lossOf(example) }), { variables: [...parameters.values()] })

  const stepAt = (examples: Example[], draws: readonly Draw[], learningRate: number) => {
    try {
      return step.run(examples, { learningRate })
    } catch (error) {
      if (error instanceof NonFiniteLoss) error.examples = culprits(examples, draws)
      throw error
    }
  }

  const culprits = (examples: readonly Example[], draws: readonly Draw[]) => {
    const areFinite = examples.map((example) => Number.isFinite(numberIn(alone.run(example).loss)))
    const suspects = areFinite.every(Boolean) ? draws : draws.filter((_, i) => !areFinite[i])
    return suspects.map(({ sigma, pair }) => ({ sigma, pair: (pairs[pair] as EncodedPair).name }))
  }

  const trainer: Trainer = {
    model,
    parameters,
    optimizer,
    step: 0,
    fixedLoss: () => {
      const losses = Array.from({ length: fixedDraws }, (_, i) => {
        const pair = i % pairs.length
        const example = exampleOf(drawFor(pair, seed, ['fixed', i], shapeOf(pair)))
        const value = numberIn(alone.run(example).loss)
        tf.dispose(example)
        return value
      })
      return losses.reduce((sum, loss) => sum + loss) / losses.length
    },
    run: async ({ onStep, shouldStop }) => {
      const { accumulation, steps, schedule } = settings
      while (trainer.step < steps && !shouldStop?.()) {
        const started = performance.now()
        const draws = drawsForStep(seed, trainer.step, { pairs: pairs.length, accumulation, shapeOf })
        const learningRate = settings.learningRate * learningRateFactor(schedule, trainer.step, steps)
        const examples = draws.map(exampleOf)
        const outcome = stepAt(examples, draws, learningRate)
        tf.dispose(examples)
        trainer.step++
        const report = {
          step: trainer.step,
          ...outcome,
          learningRate,
          sigmas: draws.map(({ sigma }) => sigma),
          pairs: draws.map(({ pair }) => (pairs[pair] as EncodedPair).name),
          seconds: (performance.now() - started) / 1000,
        }
        await onStep?.(report, trainer)
        await setImmediate() // lets signals and the progress bar have their turn
      }
    },
    dispose: () => {
      step.dispose()
      alone.dispose()
      disposeOptimizer(optimizer)
      for (const { cos, sin } of rotations.values()) tf.dispose([cos, sin])
    },
  }
  return trainer
}

const example = ({ target, reference, context }: EncodedPair, { sigma, noise }: Draw): Example => ({
  target: toBatch(target),
  reference: toBatch(reference),
  noise: toBatch({ shape: target.shape, values: noise }),
  sigma: tf.tensor1d([sigma]),
  context: toBatch(context),
})

/** Takes the number out of TensorFlow.js. */
function numberIn(scalar: tf.Tensor): number {
  const [value = Number.NaN] = scalar.dataSync()
  scalar.dispose()
  return value
}

const keepRotation = ({ cos, sin }: RopeTable): RopeTable => ({ cos: tf.keep(cos), sin: tf.keep(sin) })
