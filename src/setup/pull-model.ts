/** Downloads the audio path of a real checkpoint, or the folder of its text encoder, without the tensors that are not used. */
import { existsSync } from 'node:fs'
import { basename, dirname, extname, join } from 'node:path'
import type { Header } from '../formats/safetensors-header.ts'
import { indexFileName, parseIndex } from '../formats/shards.ts'
import { isAudioTensor, nameNormalizer, requireKnownRelease } from '../model/checkpoint-layout.ts'
import { isTextTensor } from '../model/text/gemma-folder.ts'
import { type ByteSource, NotFoundError, readAll } from '../net/byte-source.ts'
import { type ModelFolder, type PullEnv, parseModelLocation } from '../net/location.ts'
import { isPulled, type Plan, planPull, pull, requireSpace } from '../net/pull.ts'
import { Interrupted, UserError } from '../platform/errors.ts'
import { replaceFile, replaceJson } from '../platform/files.ts'
import { canonicalPath } from '../platform/output-file.ts'
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
  const controller = new AbortController() // aborted with the error that the pull rejects with
  const abort = () =>
    controller.abort(new Interrupted('stopped; what has arrived is kept', { hint: 'run the same command again' }))
  options.signal?.addEventListener('abort', abort, { once: true })
  if (options.signal?.aborted) abort()
  const reporter = createReporter<ProgressEvent>({ ...options, signal: controller.signal })
  try {
    return await (settings.textEncoder
      ? pullTextEncoder(settings, pullEnv, reporter)
      : pullAudioPath(settings, pullEnv, reporter))
  } finally {
    options.signal?.removeEventListener('abort', abort)
  }
}

async function pullAudioPath({ from = releasedModel, out }: PullSettings, pullEnv: PullEnv, reporter: Reporter) {
  const { signal } = reporter
  const { modelFolder, file } = await parseModelLocation(from, pullEnv)
  if (file === undefined)
    throw new UserError(`${from} is not one file`, { hint: `name the checkpoint in it: ${from}/<file>.safetensors` })
  const source = await modelFolder.open(file, signal)
  try {
    const path =
      out !== undefined
        ? canonicalPath(out)
        : join('models', `${basename(source.name, extname(source.name))}-audio.safetensors`)
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

/** @throws UserError for another release, and for a file without any part of the audio path: nothing of it is fetched. */
const selectAudio = (file: string) => (header: Header) => {
  const unifiedName = nameNormalizer(header.tensors)
  const names = new Set([...header.tensors.keys()].map(unifiedName))
  requireKnownRelease(file, header.metadata, names)
  if (![...names].some(isAudioTensor))
    throw new UserError(`${file} has no tensor of the audio path of LTX`, { hint: 'use a checkpoint of LTX-2.3' })
  return (name: string) => isAudioTensor(unifiedName(name))
}

async function pullTextEncoder(
  { from = releasedTextEncoder, out }: PullSettings,
  pullEnv: PullEnv,
  reporter: Reporter,
) {
  const { signal } = reporter
  const { modelFolder } = await parseModelLocation(from, pullEnv)
  const folder = out !== undefined ? canonicalPath(out) : join('models', modelFolder.name)
  const { plans, finish, close } = await planTextEncoder(modelFolder, folder, isTextTensor, signal)
  try {
    reporter.info(`${modelFolder.location}: the text encoder, ${sizeText(sum(plans.map(({ size }) => size)))}`)
    await carryOut(plans, reporter)
    await finish(signal)
    reporter.info(`Use it with --text-encoder ${folder}`)
    return folder
  } finally {
    await close()
  }
}

type TextEncoderPlan = {
  /** One for each file of weights that holds a wanted tensor. */
  plans: Plan[]
  /** Copies the small files. The index comes last, as the sign that everything is complete. */
  finish(signal: AbortSignal): Promise<void>
  close(): Promise<void>
}

const requiredFiles = ['config.json', 'tokenizer.json', 'tokenizer_config.json']
const optionalFiles = ['processor_config.json']

/** Larger than any tokenizer. */
const maxSmallFile = 256 * 2 ** 20

/**
 * Reads the index and the headers, and plans the rest.
 * @throws UserError when the folder is not a text encoder.
 */
async function planTextEncoder(
  modelFolder: ModelFolder,
  folder: string,
  isWanted: (name: string) => boolean,
  signal: AbortSignal,
): Promise<TextEncoderPlan> {
  const index = await readIndex(modelFolder, signal)
  const wanted = index && new Map([...index].filter(([name]) => isWanted(name)))
  const files = wanted ? [...new Set(wanted.values())].sort() : ['model.safetensors']
  const sources: ByteSource[] = []
  const plans: Plan[] = []
  const close = async () => {
    for (const source of sources) await source.close()
  }
  try {
    for (const file of files) {
      const source = await modelFolder.open(file, signal)
      sources.push(source)
      plans.push(await planPull(source, join(folder, file), () => isWanted, signal))
    }
    if (plans.every(({ tensors }) => tensors === 0))
      throw new UserError(`${modelFolder.location} has no text encoder`, {
        hint: 'use a Gemma 3 12B, as LTX-2.3 does',
      })
  } catch (error) {
    await close()
    throw error
  }
  const finish = async (signal: AbortSignal) => {
    for (const file of requiredFiles) await copySmall(modelFolder, file, folder, signal)
    for (const file of optionalFiles) await copySmall(modelFolder, file, folder, signal).catch(unlessMissing)
    if (wanted) replaceJson(join(folder, indexFileName), { metadata: {}, weight_map: Object.fromEntries(wanted) })
  }
  return { plans, finish, close }
}

/** The file of each tensor; undefined where one file holds all. */
async function readIndex(modelFolder: ModelFolder, signal: AbortSignal): Promise<Map<string, string> | undefined> {
  const bytes = await readSmall(modelFolder, indexFileName, signal).catch(unlessMissing)
  if (bytes === undefined) return undefined
  const path = `${modelFolder.location}/${indexFileName}`
  const index = parseIndex(new TextDecoder().decode(bytes), path)
  for (const file of index.values())
    if (basename(file) !== file || !file.endsWith('.safetensors'))
      // the name is used for a local file
      throw new UserError(`${path} names the file ${JSON.stringify(file)}`, { hint: 'use another copy of the model' })
  return index
}

async function copySmall(modelFolder: ModelFolder, file: string, folder: string, signal: AbortSignal) {
  const path = join(folder, file)
  if (!existsSync(path)) replaceFile(path, [await readSmall(modelFolder, file, signal)])
}

async function readSmall(modelFolder: ModelFolder, file: string, signal: AbortSignal): Promise<Uint8Array> {
  const source = await modelFolder.open(file, signal)
  try {
    if (source.size > maxSmallFile)
      throw new UserError(`${source.location} has ${source.size} bytes`, { hint: 'use another copy of the model' })
    return await readAll(source, 0, source.size, signal)
  } finally {
    await source.close()
  }
}

function unlessMissing(error: unknown): undefined {
  if (!(error instanceof NotFoundError)) throw error
  return undefined
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
