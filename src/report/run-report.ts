/** The page of a run, kept up to date while it goes, and the same numbers for TensorBoard. A report that fails must not cost the training. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { type Best, bestCheckpoint } from '../audio/analysis/verdict.ts'
import { encodeWav } from '../audio/wav.ts'
import { sampleCount, type Waveform } from '../audio/waveform.ts'
import type { Terminal } from '../cli/terminal/terminal.ts'
import type { TrainSettings } from '../config/settings.ts'
import type { FittedPair } from '../dataset/clips.ts'
import type { Dataset } from '../dataset/dataset.ts'
import type { BaseModel } from '../model/base-model.ts'
import { replaceFile, replaceJson } from '../platform/files.ts'
import type { RunFolder } from '../train/run-folder.ts'
import type { EncodedPair } from '../train/trainer.ts'
import type { ValidationClip } from '../train/validation.ts'
import { parseMetrics, type StepMetrics } from './loss-curves.ts'
import { candidates, createRoundTrips, medianDistance, openHeardPreviews, verdictFile } from './previews.ts'
import { type RoundTrip, runPage } from './run-page.ts'
import { createEventFile } from './tensorboard.ts'

export type RunReport = {
  /** A pair as it is trained with. */
  addClip(pair: FittedPair): void
  /** Sends a few of the clips through the autoencoder and the vocoder. */
  hearRoundTrips(pairs: readonly EncodedPair[]): Promise<void>
  addPreview(number: number, step: number, waveform: Waveform): Promise<void>
  /** Writes the page again where it is old, or there is something new to hear. */
  refresh(): Promise<void>
  /** Writes it for the last time, and names the best checkpoint. */
  finish(): Promise<void>
}

export type ReportedRun = {
  run: RunFolder
  settings: TrainSettings
  dataset: Dataset
  base: BaseModel
  backend: string
  clips: readonly ValidationClip[]
}

const oldAfterSeconds = 30

export async function openRunReport(reported: ReportedRun, terminal: Terminal): Promise<RunReport> {
  const { run, settings, dataset, base, clips } = reported
  const previews = await openHeardPreviews(run, clips)
  const roundTrips = createRoundTrips()
  const resumedAfter = metricsOf(run).at(-1)?.step
  const events = createEventFile(eventPath(run), { resumedAfter })
  let told = resumedAfter ?? -1
  let [writtenAt, hasNews] = [Number.NEGATIVE_INFINITY, true]

  const isDone = () => (metricsOf(run).at(-1)?.step ?? 0) >= settings.numberOfSteps

  const write = (state: 'running' | 'finished' | 'stopped') => {
    ;[writtenAt, hasNews] = [performance.now(), false] // also where it fails: one warning now and then is enough
    const metrics = metricsOf(run)
    const pairDistance = medianDistance(dataset)
    const validation = previews.judged({ pairDistance, roundTripDistance: leastDistance(roundTrips.heard) })
    const best = bestCheckpoint(candidates(validation, metrics))
    for (const step of metrics.filter(({ step }) => step > told)) events.scalars(step.step, scalarsOf(step))
    told = metrics.at(-1)?.step ?? told
    if (validation.length > 0) replaceJson(run.verdicts, verdictFile(validation, best))
    const page = runPage({
      name: basename(resolve(run.path)),
      state,
      step: metrics.at(-1)?.step ?? 0,
      steps: settings.numberOfSteps,
      written: new Date().toLocaleString('sv'), // 2026-01-31 23:59:59
      settings: settingRows(reported),
      metrics,
      validation,
      best,
      roundTrips: roundTrips.heard,
      dataset,
      files: filesOf(run),
    })
    replaceFile(run.report, [page])
    return best
  }

  const attempt = async <Result>(what: string, work: () => Result | Promise<Result>): Promise<Result | undefined> => {
    try {
      return await work()
    } catch (error) {
      terminal.warn(`the report ${what}: ${(error as Error).message}`)
      return undefined
    }
  }
  return {
    addClip: roundTrips.addClip,
    hearRoundTrips: async (pairs) => {
      await attempt('lacks round trips', () => roundTrips.hear(base, pairs, terminal))
    },
    addPreview: async (number, step, waveform) => {
      await attempt(`lacks preview ${number} at step ${step}`, async () => {
        await previews.add(number, step, waveform)
        events.audio(step, `preview ${number}`, eventSound(waveform))
        hasNews = true
      })
    },
    refresh: async () => {
      const isOld = performance.now() - writtenAt > 1000 * oldAfterSeconds
      if (hasNews || isOld) await attempt('could not be written', () => write('running'))
    },
    finish: async () => {
      const best = await attempt('could not be written', () => write(isDone() ? 'finished' : 'stopped'))
      if (best && isDone()) terminal.note(bestLine(best, run, settings.numberOfSteps))
    },
  }
}

const metricsOf = ({ metrics }: RunFolder): StepMetrics[] =>
  existsSync(metrics) ? parseMetrics(readFileSync(metrics, 'utf8')) : []

/** TensorBoard looks for `tfevents` in the name; a resumed run adds a file. */
const eventPath = ({ tensorboard }: RunFolder) =>
  join(tensorboard, `events.out.tfevents.${Math.floor(Date.now() / 1000)}.${process.pid}`)

const scalarsOf = ({ loss, fixed_loss, learning_rate, gradient_norm, seconds }: StepMetrics) => ({
  loss,
  fixed_loss,
  learning_rate,
  gradient_norm,
  seconds_per_step: seconds,
})

const eventSound = (waveform: Waveform) => ({
  sampleRate: waveform.sampleRate,
  channelCount: waveform.channels.length,
  frames: sampleCount(waveform),
  wav: encodeWav(waveform),
})

const leastDistance = (roundTrips: readonly RoundTrip[]): number | undefined =>
  roundTrips.length > 0 ? Math.min(...roundTrips.map(({ distance }) => distance ?? 0)) : undefined

function bestLine({ step, reason }: Best, run: RunFolder, steps: number): string {
  const saved = [step === steps ? run.lora : run.checkpoint(step)].filter((path) => existsSync(path))
  return [`Best checkpoint: step ${step} (${reason})`, ...saved].join(', ')
}

function settingRows({ settings, base, backend }: ReportedRun): [string, string][] {
  const { rank, alpha, learningRate, learningRateSchedule, gradientAccumulation, seed } = settings
  return [
    ['base model', base.isBundled ? 'the small bundled one' : base.checkpoint.path],
    ['fingerprint', base.fingerprint],
    ['backend', backend],
    ['trigger phrase', settings.triggerPhrase || '–'],
    ['rank, alpha', `${rank}, ${alpha}`],
    ['adapted layers', `${settings.targetModules.length} kinds`],
    ['steps', String(settings.numberOfSteps)],
    ['learning rate', `${learningRate}, ${learningRateSchedule}`],
    ['pairs per step', String(gradientAccumulation)],
    ['seed', String(seed)],
    ['preview', `${settings.previewSteps} steps, cfg ${settings.previewCfg}, stg ${settings.stgScale}`],
  ]
}

function filesOf({ path }: RunFolder) {
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .sort()
    .flatMap((name) => {
      const file = statSync(join(path, name), { throwIfNoEntry: false })
      return file?.isFile() && !/\.tmp$|lock/.test(name) ? [{ name, bytes: file.size }] : []
    })
}
