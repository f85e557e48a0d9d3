/** The folder of a text encoder, without the vision tower, which LTX does not use. */
import { existsSync } from 'node:fs'
import { basename, join } from 'node:path'
import { indexFile, parseIndex } from '../formats/shards.ts'
import { UserError } from '../platform/errors.ts'
import { replaceFile, replaceJson } from '../platform/files.ts'
import { NotFoundError, readAll } from './byte-source.ts'
import type { Place } from './place.ts'
import { type Plan, planPull } from './pull.ts'

export type TextEncoderPlan = {
  /** One for each file of weights that holds a wanted tensor. */
  plans: Plan[]
  /** Copies the small files. The index comes last, as the sign that everything is complete. */
  finish(signal: AbortSignal): Promise<void>
}

const requiredFiles = ['config.json', 'tokenizer.json', 'tokenizer_config.json']
const optionalFiles = ['processor_config.json']

/** Larger than any tokenizer. */
const maxSmallFile = 256 * 2 ** 20

/**
 * Reads the index and the headers, and plans the rest.
 * @throws UserError when the place is not a text encoder.
 */
export async function planTextEncoder(
  place: Place,
  folder: string,
  isWanted: (name: string) => boolean,
  signal: AbortSignal,
): Promise<TextEncoderPlan> {
  const index = await readIndex(place, signal)
  const wanted = index && new Map([...index].filter(([name]) => isWanted(name)))
  const files = wanted ? [...new Set(wanted.values())].sort() : ['model.safetensors']
  const plans: Plan[] = []
  for (const file of files)
    plans.push(await planPull(await place.open(file, signal), join(folder, file), () => isWanted, signal))
  if (plans.every(({ tensors }) => tensors === 0))
    throw new UserError(`${place.location} holds no text encoder`, { hint: 'use a Gemma 3 12B, as LTX-2.3 does' })
  const finish = async (signal: AbortSignal) => {
    for (const file of requiredFiles) await copySmall(place, file, folder, signal)
    for (const file of optionalFiles) await copySmall(place, file, folder, signal).catch(unlessMissing)
    if (wanted) replaceJson(join(folder, indexFile), { metadata: {}, weight_map: Object.fromEntries(wanted) })
  }
  return { plans, finish }
}

/** The file of each tensor; undefined where one file holds all. */
async function readIndex(place: Place, signal: AbortSignal): Promise<Map<string, string> | undefined> {
  const bytes = await readSmall(place, indexFile, signal).catch(unlessMissing)
  if (bytes === undefined) return undefined
  const path = `${place.location}/${indexFile}`
  const index = parseIndex(new TextDecoder().decode(bytes), path)
  for (const file of index.values())
    if (basename(file) !== file || !file.endsWith('.safetensors'))
      // the name is used for a local file
      throw new UserError(`${path} names the file ${JSON.stringify(file)}`, { hint: 'use another copy of the model' })
  return index
}

async function copySmall(place: Place, file: string, folder: string, signal: AbortSignal) {
  const path = join(folder, file)
  if (!existsSync(path)) replaceFile(path, [await readSmall(place, file, signal)])
}

async function readSmall(place: Place, file: string, signal: AbortSignal): Promise<Uint8Array> {
  const source = await place.open(file, signal)
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
