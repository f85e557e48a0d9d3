/** `bench preview`: one preview at the sizes of the released model: sampling with both kinds of guidance, decoding, vocoding. */
import { currentBackend } from '../../src/engine/backend.ts'
import { currentPrecision } from '../../src/engine/precision.ts'
import { loadTransformer } from '../../src/model/transformer/transformer.ts'
import { decodePatches, soundOf } from '../../src/preview/render.ts'
import { modelWidth } from './released.ts'
import { timeSampling } from './sampling.ts'
import { syntheticBase } from './synthetic-base.ts'
import { type Duration, medianDuration, peakGigabytes, startTimer } from './timing.ts'

export type PreviewBenchOptions = { blocks: number; seconds: number; steps: number; contextTokens: number }

export type PreviewResult = {
  backend: string
  precision: string
  blocks: number
  seconds: number
  load: Duration
  /** With the capture of the graph. */
  firstStep: Duration
  /** The median of the other steps. A step has three passes: prompt, negative prompt, perturbed self-attention. */
  step: Duration
  /** From latents to a log-mel spectrogram, with the loading of the weights. */
  decoding: Duration
  /** From a log-mel spectrogram to sound, with the loading of the weights. */
  vocoding: Duration
  /** The same with `--renderer griffin-lim`, on one core. */
  phaseReconstruction: Duration
  peakRssGigabytes: number
}

export async function benchPreview({
  blocks,
  seconds,
  steps,
  contextTokens,
}: PreviewBenchOptions): Promise<PreviewResult> {
  const base = syntheticBase(blocks)
  const [model, load] = await timed(() => loadTransformer(base.components.transformer, base.config.transformer))
  const { latents, durations } = await timeSampling(model, { seconds, steps, contextTokens, width: modelWidth })
  const [mel, decoding] = await timed(() => decodePatches(base, latents))
  const [, vocoding] = await timed(() => soundOf(base, mel, 'vocoder'))
  const [, phaseReconstruction] = await timed(() => soundOf(base, mel, 'griffin-lim'))
  return {
    backend: currentBackend(),
    precision: currentPrecision(),
    ...{
      blocks,
      seconds,
      load,
      firstStep: durations[0] as Duration,
      step: medianDuration(durations.slice(1)),
      decoding,
      vocoding,
      phaseReconstruction,
    },
    peakRssGigabytes: peakGigabytes(),
  }
}

async function timed<Result>(work: () => Result | Promise<Result>): Promise<[Result, Duration]> {
  const timer = startTimer()
  return [await work(), timer()]
}
