/** From nothing to the audio path of a real checkpoint, or its text encoder, without the rest of their files. */
import { basename, dirname, extname, join } from 'node:path'
import type { Header } from '../formats/safetensors-header.ts'
import { isAudioTensor, nameNormalizer, requireKnownRelease } from '../model/checkpoint-layout.ts'
import { isTextTensor } from '../model/text/gemma-folder.ts'
import { type PullEnv, parsePlace } from '../net/place.ts'
import { isPulled, type Plan, planPull, pull, requireSpace } from '../net/pull.ts'
import { planTextEncoder } from '../net/text-encoder.ts'
import { Interrupted, UserError } from '../platform/errors.ts'
import { createReporter, type ProgressEvent, type Reporter, type RunOptions } from '../platform/progress.ts'
import { sum } from '../platform/statistics.ts'
import { sizeText } from '../platform/text.ts'

export type PullSettings = {
  /** A repository of the hub, a URL, or a path. */
  from?: string | undefined
  /** Fetch the text encoder instead of the audio path. */
  textEncoder?: boolean | undefined
  out?: string | undefined
}

/** The model that LoRAs are trained on, not the distilled one. */
const releasedModel = 'Lightricks/LTX-2.3/ltx-2.3-22b-dev.safetensors'
/** The text encoder that the release names. */
const releasedTextEncoder = 'google/gemma-3-12b-it-qat-q4_0-unquantized'

/**
 * Fetches the parts of a checkpoint that are needed. An interrupted pull continues where it stopped.
 * @returns the path of the file, or of the folder of the text encoder.
 * @throws UserError with what the user can correct; Interrupted when the signal was aborted: what has arrived is kept.
 */
export async function pullModel(
  settings: PullSettings,
  options: RunOptions<ProgressEvent> = {},
  pullEnv: PullEnv = { env: process.env },
): Promise<string> {
  const reporter = createReporter<ProgressEvent>({ ...options, signal: withReason(options.signal) })
  return settings.textEncoder
    ? await pullTextEncoder(settings, pullEnv, reporter)
    : await pullAudioPath(settings, pullEnv, reporter)
}

/** A signal that is aborted with the error that the pull rejects with. */
function withReason(signal: AbortSignal | undefined): AbortSignal {
  const controller = new AbortController()
  const abort = () =>
    controller.abort(new Interrupted('stopped; what has arrived is kept', { hint: 'run the same command again' }))
  if (signal?.aborted) abort()
  signal?.addEventListener('abort', abort, { once: true })
  return controller.signal
}

async function pullAudioPath({ from = releasedModel, out }: PullSettings, pullEnv: PullEnv, reporter: Reporter) {
  const { signal } = reporter
  const { place, file } = await parsePlace(from, pullEnv)
  if (file === undefined)
    throw new UserError(`${from} is not one file`, { hint: `name the checkpoint in it: ${from}/<file>.safetensors` })
  const source = await place.open(file, signal)
  try {
    const path = out ?? join('models', `${basename(source.name, extname(source.name))}-audio.safetensors`)
    const plan = await planPull(source, path, selectAudio(source.name), signal)
    reporter.info(`${source.location}: ${plan.tensors} tensors, ${sizeText(plan.size)} of ${sizeText(source.size)}`)
    if (/distilled/i.test(source.name))
      reporter.warn('this looks like the distilled model: LoRAs are trained on the dev model, and work on both')
    await carryOut([plan], reporter)
    reporter.info(`Train on it with --model ${path}`)
    return path
  } finally {
    await source.close()
  }
}

async function pullTextEncoder(
  { from = releasedTextEncoder, out }: PullSettings,
  pullEnv: PullEnv,
  reporter: Reporter,
) {
  const { signal } = reporter
  const { place } = await parsePlace(from, pullEnv)
  const folder = out ?? join('models', place.name)
  const { plans, finish } = await planTextEncoder(place, folder, isTextTensor, signal)
  try {
    reporter.info(`${place.location}: the text encoder, ${sizeText(sum(plans.map(({ size }) => size)))}`)
    await carryOut(plans, reporter)
    await finish(signal)
    reporter.info(`Use it with --text-encoder ${folder}`)
    return folder
  } finally {
    for (const { source } of plans) await source.close()
  }
}

/** @throws UserError for another release, and for a file without any part of the audio path: nothing of it is fetched. */
const selectAudio = (file: string) => (header: Header) => {
  const unifiedName = nameNormalizer(header.tensors)
  const names = new Set([...header.tensors.keys()].map(unifiedName))
  requireKnownRelease(file, header.metadata, names)
  if (![...names].some(isAudioTensor))
    throw new UserError(`${file} holds nothing of LTX's audio path`, { hint: 'use a checkpoint of LTX-2.3' })
  return (name: string) => isAudioTensor(unifiedName(name))
}

const megabyte = 1e6

async function carryOut(plans: readonly Plan[], reporter: Reporter) {
  const missing = plans.filter((plan) => !isPulled(plan))
  if (missing.length === 0) return reporter.info('Everything has been pulled already')
  requireSpace(missing)
  const total = sum(missing.map(({ size, head }) => size - head.length))
  const stage = reporter.stage('Pulling', Math.ceil(total / megabyte), 'MB')
  let done = 0
  const onBytes = (bytes: number) => {
    done += bytes
    stage.update(done / megabyte)
  }
  for (const plan of missing) await pull(plan, { signal: reporter.signal, onBytes })
  stage.finish(`${sizeText(total)} in ${dirname(missing[0]?.path ?? '.')}`)
}
