/** Pulls a text encoder that is a folder, as Gemma is published, without the tensors that are not needed for captions. */
import { existsSync } from 'node:fs'
import { basename, join } from 'node:path'
import { indexFileName, parseIndex } from '../../formats/shards.ts'
import { type GemmaConfig, parseGemmaConfig } from '../../model/text/gemma-config.ts'
import { isTextTensor } from '../../model/text/text-encoder.ts'
import { requireTextEncoderOf25 } from '../../model/text/text-encoder-match.ts'
import { type ByteSource, readAll, unlessMissing } from '../../net/byte-source.ts'
import type { ModelFolder, PullEnv } from '../../net/location.ts'
import { type Plan, planPull, readHeader } from '../../net/pull.ts'
import { UserError } from '../../platform/errors.ts'
import { replaceFile, replaceJson } from '../../platform/files.ts'
import { parseJson } from '../../platform/json.ts'
import { canonicalPath } from '../../platform/output-file.ts'
import type { Reporter } from '../../platform/progress.ts'
import { sum } from '../../platform/statistics.ts'
import { sizeText } from '../../platform/text.ts'
import { pullAll } from './pull-all.ts'
import type { PullSettings } from './settings.ts'

/**
 * @returns the path of the folder that was written.
 * @throws UserError when the folder is no text encoder, or cannot be fetched.
 */
export async function pullGemmaFolder(
  modelFolder: ModelFolder,
  { out }: PullSettings,
  pullEnv: PullEnv,
  reporter: Reporter,
): Promise<string> {
  const { signal } = reporter
  const folder = out !== undefined ? canonicalPath(out) : join('models', modelFolder.name)
  const config = await readGemmaConfig(modelFolder, signal)
  if (config?.generation === 4) requireTextEncoderOf25({ path: modelFolder.name, config })
  const { plans, finish, close } = await planFolder(modelFolder, folder, isTextTensor, signal)
  try {
    reporter.info(`${modelFolder.location}: the text encoder, ${sizeText(sum(plans.map(({ size }) => size)))}`)
    await pullAll(plans, pullEnv, reporter)
    await finish(signal)
    reporter.info(`Use it with --text-encoder ${folder}`)
    return folder
  } finally {
    await close()
  }
}

type FolderPlan = {
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
async function planFolder(
  modelFolder: ModelFolder,
  folder: string,
  isWanted: (name: string) => boolean,
  signal: AbortSignal,
): Promise<FolderPlan> {
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
      plans.push(planPull(source, await readHeader(source, signal), join(folder, file), isWanted))
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

/** From its config.json; undefined where there is none. @throws UserError when it describes another model. */
export async function readGemmaConfig(modelFolder: ModelFolder, signal: AbortSignal): Promise<GemmaConfig | undefined> {
  const bytes = await readSmall(modelFolder, 'config.json', signal).catch(unlessMissing)
  if (bytes === undefined) return undefined
  const name = `config.json in ${modelFolder.location}`
  const hint = 'name the repository of a text encoder'
  const json = parseJson(new TextDecoder().decode(bytes), {
    invalid: (cause) => new UserError(`${name} is not JSON`, { hint, cause }),
    repeated: (key) => new UserError(`${name} names ${key} twice`, { hint }),
  })
  return parseGemmaConfig(json, name)
}

/** A small file. @throws NotFoundError when there is no such file; UserError when it is no small file. */
export async function readSmall(modelFolder: ModelFolder, file: string, signal: AbortSignal): Promise<Uint8Array> {
  const source = await modelFolder.open(file, signal)
  try {
    if (source.size > maxSmallFile)
      throw new UserError(`${source.location} has ${source.size} bytes`, { hint: 'use another copy of the model' })
    return await readAll(source, 0, source.size, signal)
  } finally {
    await source.close()
  }
}
