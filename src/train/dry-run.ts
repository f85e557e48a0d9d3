/** `ltx-a2a train --dry-run`: a few real steps on made-up pairs, and what they say of the whole run. Nothing is written. */

import { durationText } from '../cli/terminal/progress-bars.ts'
import type { Terminal } from '../cli/terminal/terminal.ts'
import type { TrainSettings } from '../config/settings.ts'
import { passesOf } from '../diffusion/guidance.ts'
import type { BaseModel } from '../model/base-model.ts'
import { contextLength } from '../model/text/tokenizer.ts'
import type { Transformer } from '../model/transformer/transformer.ts'
import { sizeText } from '../net/disk.ts'
import { normals, randomFor } from '../platform/random.ts'
import { previewTimes } from './requirements.ts'
import type { EncodedPair } from './trainer.ts'
import { createTrainer } from './trainer.ts'

/** The first prepares what the others use again. */
const probeSteps = 4

/** Shows how long the run would take; its memory, too, as it really was. */
export async function probeRun(
  base: BaseModel,
  model: Transformer,
  settings: TrainSettings,
  previews: number,
  terminal: Terminal,
): Promise<void> {
  const seconds = await secondsPerStep(base, model, settings, terminal)
  const { numberOfSteps: steps, previewSteps, previewCfg: cfg, stgScale: stg } = settings
  const times = previewTimes(settings)
  const passes = previews * times * previewSteps * passesOf({ cfg, stg }, model.blocks.length)
  const previewSeconds = passes * (seconds / settings.gradientAccumulation) * forwardShare
  terminal.result(
    [
      `Time: ${seconds.toPrecision(2)} s a step, ${durationText(seconds * steps)} for ${steps} steps`,
      ...(previews > 0 ? [`Previews: about ${durationText(previewSeconds)} for ${previews * times} of them`] : []),
      `Memory at its peak so far: ${sizeText(process.resourceUsage().maxRSS * 1024)}`,
    ].join('\n'),
  )
}

/** A pass forward is about half a step: frozen weights have no gradient. */
const forwardShare = 1 / 2

async function secondsPerStep(base: BaseModel, model: Transformer, settings: TrainSettings, terminal: Terminal) {
  const stage = terminal.stage('Probing', probeSteps, 'steps')
  const trainer = createTrainer(model, [madeUpPair(base, settings.audioDurationSeconds)], {
    rank: settings.rank,
    alpha: settings.alpha,
    targetModules: settings.targetModules,
    seed: settings.seed,
    steps: probeSteps,
    learningRate: settings.learningRate,
    schedule: settings.learningRateSchedule,
    accumulation: settings.gradientAccumulation,
  })
  const seconds: number[] = []
  await trainer.run({
    onStep: (report) => {
      seconds.push(report.seconds)
      stage.update(report.step)
    },
  })
  trainer.dispose()
  stage.done(`${probeSteps} steps on made-up sound`)
  return Math.min(...seconds.slice(1))
}

/** Noise of the right size: how long a step takes does not depend on what is in it. */
function madeUpPair({ config }: BaseModel, seconds: number): EncodedPair {
  const frames = Math.round(25 * seconds) + 1
  const matrix = (name: string, rows: number, columns: number) => ({
    shape: [rows, columns] as [number, number],
    values: normals(randomFor(0, 'dry run', name), rows * columns),
  })
  const { audio_in_channels: patchWidth, audio_cross_attention_dim: width } = config.transformer
  return {
    name: 'made up',
    target: matrix('target', frames, patchWidth),
    reference: matrix('reference', frames, patchWidth),
    context: matrix('context', contextLength, width),
  }
}
