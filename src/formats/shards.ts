/**
 * Weights that lie in several files: a folder in the Hugging Face layout, where an index says which tensor lies where, or files that each hold
 * a part of a model.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { z } from 'zod'
import { UserError } from '../platform/errors.ts'
import { openSafetensors, type Safetensors } from './safetensors.ts'

/** What the file is called that says which tensor lies in which file. */
export const indexFile = 'model.safetensors.index.json'

/**
 * Opens the folder's weights as if they were one file.
 * @throws UserError when a file of the folder is missing or broken.
 */
export function openShards(folder: string): Safetensors {
  if (!existsSync(join(folder, indexFile))) return openSafetensors(join(folder, 'model.safetensors'))
  const shards = openIndexed(folder, indexFile)
  return joined(folder, shards)
}

/**
 * Every file of weights at these places: files, folders with an index, folders of safetensors files. The caller closes them.
 * @throws UserError when a place is missing, or a folder holds no weights.
 */
export function openParts(places: readonly string[]): Safetensors[] {
  const parts: Safetensors[] = []
  try {
    for (const place of places) parts.push(...openPlace(place))
    return parts
  } catch (error) {
    for (const part of parts) part.close()
    throw error
  }
}

/**
 * Several files as one. Closes them all when closed, and when they cannot be joined.
 * @param path for messages.
 * @throws UserError when two of them hold a tensor of the same name.
 */
export function joined(path: string, parts: readonly Safetensors[]): Safetensors {
  const homes = new Map<string, Safetensors>()
  const close = () => {
    for (const part of parts) part.close()
  }
  for (const part of parts)
    for (const name of part.tensors.keys()) {
      const other = homes.get(name)
      if (other) {
        close()
        throw new UserError(`${basename(other.path)} and ${basename(part.path)} both hold the tensor ${name}`, {
          hint: 'name only the files that belong together, separated by commas',
        })
      }
      homes.set(name, part)
    }
  const homeOf = (name: string) => {
    const home = homes.get(name)
    if (!home) throw new Error(`${path} has no tensor ${name}`)
    return home
  }
  return {
    path,
    metadata: Object.assign({}, ...parts.map(({ metadata }) => metadata)),
    tensors: new Map(parts.flatMap(({ tensors }) => [...tensors])),
    read: (name) => homeOf(name).read(name),
    lend: (name) => homeOf(name).lend(name),
    readAhead: (names) => {
      for (const name of names) homeOf(name).readAhead([name])
    },
    readRows: (name, rows) => homeOf(name).readRows(name, rows),
    float32: (name) => homeOf(name).float32(name),
    readStart: (name, count) => homeOf(name).readStart(name, count),
    close,
  }
}

function openPlace(place: string): Safetensors[] {
  if (!statSync(place, { throwIfNoEntry: false })?.isDirectory()) return [openSafetensors(place)]
  const files = readdirSync(place).sort()
  const [index] = files.filter((file) => file.endsWith('.safetensors.index.json'))
  if (index !== undefined) return openIndexed(place, index)
  const weights = files.filter((file) => file.endsWith('.safetensors'))
  if (weights.length > 0) return openParts(weights.map((file) => join(place, file)))
  throw new UserError(`${place} holds no safetensors files`, { hint: 'check the path of the folder' })
}

function openIndexed(folder: string, index: string): Safetensors[] {
  const homes = readIndex(join(folder, index))
  const files = [...new Set(homes.values())]
  const shards = openParts(files.map((file) => join(folder, file)))
  for (const [name, file] of homes)
    if (!shards[files.indexOf(file)]?.tensors.has(name)) {
      for (const shard of shards) shard.close()
      throw new UserError(`${join(folder, file)} has no tensor ${name}, which ${index} says it holds`, {
        hint: 'download the folder again',
      })
    }
  return shards
}

const indexSchema = z.object({ weight_map: z.record(z.string(), z.string()) })

/** Which file holds which tensor. @throws UserError when the text is not an index. */
export function parseIndex(text: string, path: string): Map<string, string> {
  try {
    return new Map(Object.entries(indexSchema.parse(JSON.parse(text)).weight_map))
  } catch (cause) {
    throw new UserError(`${path} is not an index of safetensors files`, { hint: 'download the folder again', cause })
  }
}

const readIndex = (path: string) => parseIndex(readFileSync(path, 'utf8'), path)
