/** What a run would take: a few real training steps on synthetic pairs. Nothing is written. */
import type { TrainSettings } from '../config/settings.ts'
import { passesPerStep } from '../diffusion/sampler.ts'
import type { EncodedPair } from '../encode/dataset.ts'
import { clipLatentFrames } from '../model/audio-vae/latents.ts'
import type { BaseModel } from '../model/base-model.ts'
import { detachLora } from '../model/lora.ts'
import { contextLength } from '../model/text/tokenizer.ts'
import type { Transformer } from '../model/transformer/transformer.ts'
import type { Reporter } from '../platform/progress.ts'
import { normals, randomFor } from '../platform/random.ts'
import { evaluationInterval } from './evaluation.ts'
import { previewTimes, type RunEstimate, timesInRun } from './requirements.ts'
import { evaluationSigmas } from './sampling.ts'
import { createTrainer } from './trainer.ts'
import { trainerSettingsOf } from './training-run.ts'

/** The first step prepares what the others use again, so it is not counted. */
const probeSteps = 4

/** A forward pass takes about half of a training step: frozen weights have no gradient. */
const forwardShare = 1 / 2

/** @param counts how many previews the run renders each time, and how many pairs it holds out. */
export async function estimateRun(
  base: BaseModel,
  model: Transformer,
  settings: TrainSettings,
  counts: { references: number; heldOut: number },
  reporter: Reporter,
): Promise<RunEstimate> {
  const secondsPerStep = await measureStep(base, model, settings, reporter)
  const secondsPerPass = (secondsPerStep / settings.gradientAccumulation) * forwardShare
  const { numberOfSteps: steps, previewSteps, previewCfg: cfg, stgScale: stg } = settings
  const previews = counts.references * previewTimes(settings)
  const passes = previews * previewSteps * passesPerStep({ cfg, stg }, model.blocks.length)
  return {
    steps,
    secondsPerStep,
    trainingSeconds: secondsPerStep * steps,
    previews,
    previewSeconds: passes * secondsPerPass,
    evaluationSeconds: evaluationPasses(settings, counts.heldOut) * secondsPerPass,
    peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
  }
}

/** Over all evaluations; without held-out pairs they are few and short. */
function evaluationPasses(settings: TrainSettings, heldOut: number): number {
  const times = 1 + timesInRun(settings.numberOfSteps, evaluationInterval(settings))
  return times * 2 * heldOut * evaluationSigmas.length * (settings.ema > 0 ? 2 : 1)
}

async function measureStep(base: BaseModel, model: Transformer, settings: TrainSettings, reporter: Reporter) {
  const stage = reporter.stage('Measuring steps', probeSteps, 'steps')
  const pairs = [syntheticPair(base, settings.audioDurationSeconds)]
  const trainer = createTrainer(model, pairs, { ...trainerSettingsOf(settings), steps: probeSteps })
  const seconds: number[] = []
  try {
    await trainer.run({
      onStep: (report) => {
        seconds.push(report.seconds)
        stage.update(report.step)
      },
      shouldStop: () => reporter.signal.aborted,
    })
    reporter.throwIfAborted()
  } finally {
    trainer.dispose()
    detachLora(model)
  }
  stage.finish(`${probeSteps} steps on synthetic clips`)
  return Math.min(...seconds.slice(1))
}

/** Noise of the right size: the values do not change how long a step takes. */
function syntheticPair({ config }: BaseModel, seconds: number): EncodedPair {
  const frames = clipLatentFrames(seconds)
  const matrix = (name: string, rows: number, columns: number) => ({
    shape: [rows, columns] as [number, number],
    values: normals(randomFor(0, 'dry run', name), rows * columns),
  })
  const { audio_in_channels: patchWidth, audio_cross_attention_dim: width } = config.transformer
  return {
    name: 'synthetic',
    target: matrix('target', frames, patchWidth),
    reference: matrix('reference', frames, patchWidth),
    context: matrix('context', contextLength, width),
  }
}
