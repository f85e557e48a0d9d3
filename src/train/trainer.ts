/** The loop that turns encoded pairs into a LoRA. It reports what happens and writes nothing. */
import { setImmediate } from 'node:timers/promises'
import * as tf from '@tensorflow/tfjs'
import { type Example, pairRope, velocityLoss } from '../diffusion/flow-matching.ts'
import type { ClipDrawer, EncodedPair } from '../encode/dataset.ts'
import { capture } from '../engine/capture.ts'
import { toBatch } from '../engine/device-tensors.ts'
import { takeNumber } from '../engine/tensor-values.ts'
import { attachNewLora, findTargetLinears, type LoraParameters } from '../model/lora.ts'
import type { RopeTable } from '../model/rope.ts'
import type { Transformer } from '../model/transformer/transformer.ts'
import { randomFor, shuffled } from '../platform/random.ts'
import { mean } from '../platform/statistics.ts'
import type { Evaluation } from './evaluation.ts'
import { type LoraAverage, startLoraAverage } from './lora-average.ts'
import {
  disposeOptimizer,
  type LearningRateSchedule,
  learningRateFactor,
  type OptimizerState,
  startOptimizer,
} from './optimizer.ts'
import { drawSample, evaluationSamples, evaluationSigmas, type Sample, samplesForStep } from './sampling.ts'
import { createStep, NonFiniteLoss } from './step.ts'

export type TrainerSettings = {
  rank: number
  alpha: number
  targetModules: readonly string[]
  seed: number
  steps: number
  learningRate: number
  schedule: LearningRateSchedule
  /** Examples per step. */
  accumulation: number
  /** The decay of the moving average of the LoRA; 0 or undefined is none. */
  ema?: number
}

/** What happened in one step. */
export type StepReport = {
  /** 1-based. */
  step: number
  loss: number
  learningRate: number
  gradientNorm: number
  sigmas: number[]
  pairs: string[]
  seconds: number
}

export type TrainerListeners = {
  /** Called after each step; training waits for it. */
  onStep?: (report: StepReport, trainer: Trainer) => void | Promise<void>
  /** Asked between steps; true ends the training early. */
  shouldStop?: () => boolean
}

export type Trainer = {
  readonly model: Transformer
  readonly parameters: LoraParameters
  /** What the product of the factors is multiplied by: alpha / rank. */
  readonly scale: number
  readonly optimizer: OptimizerState
  /** The moving average of the parameters. */
  readonly average: LoraAverage | undefined
  /** How many steps are done. */
  step: number
  /** How many losses an evaluation computes. */
  readonly evaluatedLosses: number
  /**
   * The mean losses over the same pairs, sigmas and noise each time. Other work of the process, such as handling signals, goes on meanwhile.
   * @param onProgress called after each loss with how many there are. When it throws, so does the evaluation.
   */
  evaluate(onProgress?: (done: number) => void): Promise<Evaluation>
  run(listeners: TrainerListeners): Promise<void>
  /** Frees what the trainer made. The model and its LoRA stay. */
  dispose(): void
}

/** The number of samples whose mean loss is the fixed loss, where there are no held-out pairs. */
const fixedSamples = 8

/**
 * Attaches a new LoRA to the model and prepares its training.
 * @param heldOut pairs to evaluate it on, which it is not trained on.
 * @param drawClip another clip of a pair, which takes the place of the pair in a step.
 */
export function createTrainer(
  model: Transformer,
  pairs: readonly EncodedPair[],
  settings: TrainerSettings,
  heldOut: readonly EncodedPair[] = [],
  drawClip?: ClipDrawer['draw'],
): Trainer {
  const { seed, rank, alpha } = settings
  const linears = findTargetLinears(model, settings.targetModules)
  const parameters = attachNewLora(linears, rank, alpha, randomFor(seed, 'lora'))
  const optimizer = startOptimizer(parameters)
  const average = settings.ema ? startLoraAverage(parameters, settings.ema) : undefined
  const ropeTables = new Map<string, RopeTable>()
  const pairAt = (index: number) => pairs[index] as EncodedPair
  const shapeOf = (index: number) => pairAt(index).target.shape

  const ropeTableOf = ({ reference, target }: Example) => {
    const [referenceFrames, targetFrames] = [reference.shape[1], target.shape[1]]
    const key = `${referenceFrames}+${targetFrames}`
    const table = ropeTables.get(key) ?? keepTable(pairRope(model, referenceFrames, targetFrames))
    ropeTables.set(key, table)
    return table
  }
  const lossOf = (example: Example) => velocityLoss(model, example, ropeTableOf(example))
  const toExample = (sample: Sample) => exampleOf(pairAt(sample.pair), sample)
  /** The same each time, and as many as are held out. */
  const evaluatedPairs = shuffled(randomFor(seed, 'evaluated pairs'), pairs.length).slice(0, heldOut.length).map(pairAt)

  const step = createStep(parameters, optimizer, lossOf)
  const evaluation = capture((example: Example) => ({ loss: lossOf(example) }), { variables: [...parameters.values()] })
  const evalLoss = (example: Example) => takeNumber(evaluation.run(example).loss)

  /** @param position counts the examples of the run. */
  const toDrawnExample = async (sample: Sample, position: number) => {
    const pair = pairAt(sample.pair)
    const drawn = await drawClip?.(pair.name, randomFor(seed, 'clip', position))
    return exampleOf({ ...pair, ...drawn }, sample)
  }

  const runStep = async (samples: readonly Sample[], learningRate: number) => {
    const first = trainer.step * settings.accumulation
    const examples: Example[] = []
    try {
      for (const [i, sample] of samples.entries()) examples.push(await toDrawnExample(sample, first + i))
      return await step.run(examples, { learningRate })
    } catch (error) {
      if (error instanceof NonFiniteLoss) error.examples = await nonFiniteExamples(examples, samples)
      throw error
    } finally {
      tf.dispose(examples)
    }
  }

  /** The examples whose loss is not finite; all where only the gradient is not. */
  const nonFiniteExamples = async (examples: readonly Example[], samples: readonly Sample[]) => {
    const areFinite: boolean[] = []
    for (const example of examples) areFinite.push(Number.isFinite(await evalLoss(example)))
    const suspects = areFinite.every(Boolean) ? samples : samples.filter((_, i) => !areFinite[i])
    return suspects.map(({ sigma, pair }) => ({ sigma, pair: pairAt(pair).name }))
  }

  const meanLoss = async (examples: readonly (() => Example)[], onLoss: () => void) => {
    const losses: number[] = []
    for (const create of examples) {
      const example = create()
      losses.push(await evalLoss(example))
      tf.dispose(example)
      await setImmediate()
      onLoss()
    }
    return mean(losses)
  }
  const lossOver = (list: readonly EncodedPair[], onLoss: () => void) => {
    const at = (index: number) => list[index] as EncodedPair
    const samples = evaluationSamples(list.length, (index) => at(index).target.shape)
    return meanLoss(
      samples.map((sample) => () => exampleOf(at(sample.pair), sample)),
      onLoss,
    )
  }
  const evaluateLosses = async (onLoss: () => void): Promise<Evaluation> => {
    if (heldOut.length > 0)
      return { fixedLoss: await lossOver(evaluatedPairs, onLoss), heldOutLoss: await lossOver(heldOut, onLoss) }
    const examples = Array.from({ length: fixedSamples }, (_, i) => () => {
      const pair = i % pairs.length
      return toExample(drawSample(pair, seed, ['fixed', i], shapeOf(pair)))
    })
    return { fixedLoss: await meanLoss(examples, onLoss) }
  }

  const trainer: Trainer = {
    model,
    parameters,
    scale: alpha / rank,
    optimizer,
    step: 0,
    average,
    evaluatedLosses:
      (heldOut.length > 0 ? (evaluatedPairs.length + heldOut.length) * evaluationSigmas.length : fixedSamples) *
      (average ? 2 : 1),
    evaluate: async (onProgress) => {
      let done = 0
      const onLoss = () => onProgress?.(++done)
      const ofLora = await evaluateLosses(onLoss)
      if (!average) return ofLora
      average.exchange()
      try {
        const { fixedLoss, heldOutLoss } = await evaluateLosses(onLoss)
        return { ...ofLora, emaFixedLoss: fixedLoss, ...(heldOutLoss !== undefined && { emaHeldOutLoss: heldOutLoss }) }
      } finally {
        average.exchange()
      }
    },
    run: async ({ onStep, shouldStop }) => {
      const { accumulation, steps, schedule } = settings
      while (trainer.step < steps && !shouldStop?.()) {
        const started = performance.now()
        const samples = samplesForStep(seed, trainer.step, { pairs: pairs.length, accumulation, shapeOf })
        const learningRate = settings.learningRate * learningRateFactor(schedule, trainer.step, steps)
        const outcome = await runStep(samples, learningRate)
        trainer.step++
        await average?.add(trainer.step)
        const report = {
          step: trainer.step,
          ...outcome,
          learningRate,
          sigmas: samples.map(({ sigma }) => sigma),
          pairs: samples.map(({ pair }) => pairAt(pair).name),
          seconds: (performance.now() - started) / 1000,
        }
        await onStep?.(report, trainer)
        await setImmediate() // lets timers, signals and other work of the process run
      }
    },
    dispose: () => {
      step.dispose()
      evaluation.dispose()
      average?.dispose()
      disposeOptimizer(optimizer)
      for (const { cos, sin } of ropeTables.values()) tf.dispose([cos, sin])
    },
  }
  return trainer
}

const exampleOf = ({ target, reference, context }: EncodedPair, { sigma, noise }: Sample): Example => ({
  target: toBatch(target),
  reference: toBatch(reference),
  noise: toBatch({ shape: target.shape, values: noise }),
  sigma: tf.tensor1d([sigma]),
  context: toBatch(context),
})

const keepTable = ({ cos, sin }: RopeTable): RopeTable => ({ cos: tf.keep(cos), sin: tf.keep(sin) })
