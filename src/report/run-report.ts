/** The page of a run, `report.html`, and `verdicts.json`: a listener of the run's events. A report that fails must not stop the training. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { type BestCheckpoint, bestCheckpoint } from '../audio/analysis/verdict.ts'
import type { TrainSettings } from '../config/settings.ts'
import type { Dataset } from '../dataset/dataset.ts'
import { replaceFile, replaceJson } from '../platform/files.ts'
import { countText, percentText } from '../platform/text.ts'
import { bestLora, evaluationInterval, evaluationOf, hasEndedEarly, holdsOut } from '../train/evaluation.ts'
import type { DoneEvent, RunEvent, TrainEvent } from '../train/events.ts'
import { learningVerdict } from '../train/learning.ts'
import type { RunFolder } from '../train/run-folder.ts'
import { parseMetrics, type StepMetrics } from './loss-curves.ts'
import {
  candidates,
  medianDistance,
  openPreviewHistory,
  type PreviewHistory,
  reconstructionOf,
  verdictFile,
} from './previews.ts'
import { type HeldOutReport, type Reconstruction, runPage, shownLocation } from './run-page.ts'

export type ReportOptions = {
  /** Called with a sentence about the finished run. */
  onInfo?: (message: string) => void
  /** Called when a part of the report fails. */
  onWarning?: (message: string) => void
}

/** The page is written again after so many seconds, even without new audio. */
const maxAge = 30

/** A listener for `onEvent` that keeps `report.html` and `verdicts.json` in the folder of the run up to date. It never rejects. */
export function createRunReport({ onInfo, onWarning }: ReportOptions = {}): (event: TrainEvent) => Promise<void> {
  let dataset: Dataset | undefined
  let report: OpenReport | undefined

  const attempt = async (what: string, work: () => unknown) => {
    try {
      await work()
    } catch (error) {
      onWarning?.(`the report ${what}: ${(error as Error).message}`)
    }
  }
  return async (event) => {
    switch (event.type) {
      case 'dataset':
        dataset = event.dataset
        return
      case 'run':
        report = openReport(event, dataset as Dataset)
        return
      case 'reconstruction':
        return attempt('lacks a reconstruction', () => report?.addReconstruction(event))
      case 'preview':
        return attempt(`lacks preview ${event.number} at step ${event.step}`, () => report?.addPreview(event))
      case 'step':
        if (report?.isOutdated()) await attempt('could not be written', () => report?.write('running'))
        return
      case 'done':
        return attempt('could not be written', async () => {
          const best = await report?.write(event.state)
          if (best && event.state === 'finished' && !event.best) onInfo?.(bestLine(best, event)) // that was reported already
        })
    }
  }
}

type OpenReport = {
  addReconstruction(event: Extract<TrainEvent, { type: 'reconstruction' }>): Promise<void>
  addPreview(event: Extract<TrainEvent, { type: 'preview' }>): Promise<void>
  /** Whether there is new audio, or the page is old. */
  isOutdated(): boolean
  write(state: 'running' | 'finished' | 'stopped'): Promise<BestCheckpoint | undefined>
}

function openReport(event: RunEvent, dataset: Dataset): OpenReport {
  const { folder, settings, validation } = event
  let history: Promise<PreviewHistory> | undefined
  /** Called when training has begun: before that, it is not known which previews of an interrupted run still count. */
  const openHistory = () => {
    history ??= openPreviewHistory(folder, validation, lastStepOf(readMetrics(folder)))
    return history
  }
  const reconstructions: Reconstruction[] = []
  let [writtenAt, hasNews] = [Number.NEGATIVE_INFINITY, true]
  return {
    addReconstruction: async ({ name, original, reconstructed }) => {
      reconstructions.push(await reconstructionOf(name, original, reconstructed))
    },
    addPreview: async ({ number, step, isBest, waveform }) => {
      await (await openHistory()).add(number, isBest ? 'best' : step, waveform)
      hasNews = true
    },
    isOutdated: () => hasNews || performance.now() - writtenAt > 1000 * maxAge,
    write: async (state) => {
      ;[writtenAt, hasNews] = [performance.now(), false] // also where it fails: one warning now and then is enough
      const metrics = readMetrics(folder)
      const previews = (await openHistory()).judged({
        pairDistance: medianDistance(dataset),
        reconstructionDistance: smallestDistance(reconstructions),
      })
      const heldOut = heldOutReport(event, metrics)
      const choices = heldOut ? [] : candidates(previews, metrics, folder)
      const best = heldOut ? recommended(heldOut) : choices.length > 1 ? bestCheckpoint(choices) : undefined
      if (previews.length > 0) replaceJson(folder.verdicts, verdictFile(previews, best))
      const page = runPage({
        name: basename(resolve(folder.path)),
        state,
        step: lastStepOf(metrics),
        steps: settings.numberOfSteps,
        written: new Date().toLocaleString('sv'), // 2026-01-31 23:59:59
        settings: settingRows(event),
        metrics,
        validation: previews,
        best,
        choices: choices.length,
        heldOut,
        reconstructions,
        dataset,
        files: filesOf(folder),
      })
      replaceFile(folder.report, [page])
      return best
    },
  }
}

function heldOutReport(
  { heldOut = [], settings }: RunEvent,
  metrics: readonly StepMetrics[],
): HeldOutReport | undefined {
  if (heldOut.length === 0) return undefined
  const evaluations = metrics.flatMap((line) => evaluationOf(line) ?? [])
  const verdict = learningVerdict(evaluations, { endedEarly: hasEndedEarly(evaluations, settings) })
  return { names: heldOut, location: settings.holdoutData, verdict, best: bestLora(evaluations), evaluations }
}

/** With held-out pairs there is one recommendation: the LoRA with the lowest held-out loss. */
function recommended({ best }: HeldOutReport): BestCheckpoint | undefined {
  if (!best) return undefined
  const what = best.isAverage ? ' of the moving average' : ''
  return {
    step: best.step,
    reason: `lowest held-out loss${what}, ${best.heldOutLoss.toFixed(4)}`,
    lora: 'best.safetensors',
  }
}

const readMetrics = ({ metrics }: RunFolder): StepMetrics[] =>
  existsSync(metrics) ? parseMetrics(readFileSync(metrics, 'utf8')) : []

const lastStepOf = (metrics: readonly StepMetrics[]) => metrics.at(-1)?.step ?? 0

/** Undefined where no distance could be measured: a distance of 0 would mean that nothing is lost. */
function smallestDistance(reconstructions: readonly Reconstruction[]): number | undefined {
  const distances = reconstructions.flatMap(({ distance }) => (distance === null ? [] : [distance]))
  return distances.length > 0 ? Math.min(...distances) : undefined
}

const bestLine = ({ step, reason, lora }: BestCheckpoint, { folder }: DoneEvent) =>
  [`Best checkpoint: step ${step} (${reason})`, ...(lora === undefined ? [] : [join(folder.path, lora)])].join(', ')

function settingRows({ settings, base, backend }: RunEvent): [string, string][] {
  const { rank, alpha, learningRate, learningRateSchedule, gradientAccumulation, seed, ema } = settings
  return [
    ['base model', base.isBundled ? 'the small bundled one' : `LTX-${base.release}, ${shownLocation(base.path)}`],
    ['fingerprint of the base', base.fingerprint],
    ['backend', backend],
    ['renderer', rendererText[base.renderer]],
    ['trigger phrase', settings.triggerPhrase || '–'],
    ['rank, alpha', `${rank}, ${alpha}`],
    ['adapted layers', countText(settings.targetModules.length, 'kind')],
    ['steps', String(settings.numberOfSteps)],
    ['learning rate', `${learningRate}, schedule ${learningRateSchedule}`],
    ['pairs per step', String(gradientAccumulation)],
    ...(ema > 0 ? [['decay of the moving average', String(ema)] as [string, string]] : []),
    ['windows', settings.windows],
    ['held-out pairs', heldOutSetting(settings)],
    ['evaluation interval', intervalText(evaluationInterval(settings))],
    ...(holdsOut(settings) ? [['patience', patienceText(settings.patience)] as [string, string]] : []),
    ['seed', String(seed)],
    ['previews', `${settings.previewSteps} sampling steps, cfg ${settings.previewCfg}, stg ${settings.stgScale}`],
  ]
}

const rendererText = {
  vocoder: 'the vocoder',
  'griffin-lim': 'phase reconstruction (Griffin–Lim), nothing above 8 kHz',
}

const heldOutSetting = ({ holdout, holdoutData }: TrainSettings) =>
  holdoutData !== undefined
    ? shownLocation(holdoutData)
    : holdout === 0
      ? 'none'
      : holdout < 1
        ? percentText(holdout)
        : String(holdout)

const intervalText = (interval: number) => (interval > 0 ? countText(interval, 'step') : 'only at the end')

const patienceText = (patience: number) => (patience > 0 ? countText(patience, 'evaluation') : 'none')

/** All but the page itself, which does not know its size. */
function filesOf({ path, report }: RunFolder) {
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .sort()
    .flatMap((name) => {
      const file = statSync(join(path, name), { throwIfNoEntry: false })
      return file?.isFile() && !/\.tmp$|lock/.test(name) && name !== basename(report)
        ? [{ name, bytes: file.size }]
        : []
    })
}
