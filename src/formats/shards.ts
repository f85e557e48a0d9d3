/** Weights in several files: a folder in the Hugging Face layout, whose index names the file of each tensor, or files that each hold a part of a model. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { z } from 'zod'
import { UserError } from '../platform/errors.ts'
import { parseJson } from '../platform/json.ts'
import { openSafetensors, type Safetensors } from './safetensors.ts'
import type { TensorInfo } from './safetensors-header.ts'

/** The index names the file of each tensor. */
export const indexFileName = 'model.safetensors.index.json'

/**
 * Opens the folder's weights as if they were one file.
 * @throws UserError when a file of the folder is missing or broken.
 */
export function openShards(folder: string): Safetensors {
  if (!existsSync(join(folder, indexFileName))) return openSafetensors(join(folder, 'model.safetensors'))
  return joinSafetensors(folder, openIndexed(folder, indexFileName))
}

/**
 * Opens every file of weights at these paths: files, folders with an index, and folders of safetensors files, which may lie in subfolders, one for each
 * component. The caller closes them.
 * @throws UserError when a path does not exist, or a folder holds no weights.
 */
export function openWeightFiles(paths: readonly string[]): Safetensors[] {
  const files: Safetensors[] = []
  try {
    for (const path of paths) files.push(...openPath(path))
    return files
  } catch (error) {
    for (const file of files) file.close()
    throw error
  }
}

/**
 * Several files as one. It closes them all when it is closed, and when they cannot be joined.
 * @param path for messages.
 * @throws UserError when two of them hold a tensor of the same name.
 */
export function joinSafetensors(path: string, parts: readonly Safetensors[]): Safetensors {
  const partByName = new Map<string, Safetensors>()
  const close = () => {
    for (const part of parts) part.close()
  }
  for (const part of parts)
    for (const name of part.tensors.keys()) {
      const other = partByName.get(name)
      if (other) {
        close()
        throw new UserError(`${basename(other.path)} and ${basename(part.path)} both hold the tensor ${name}`, {
          hint: 'name only the files that belong together, separated by commas',
        })
      }
      partByName.set(name, part)
    }
  const partWith = (name: string) => {
    const part = partByName.get(name)
    if (!part) throw new Error(`${path} has no tensor ${name}`)
    return part
  }
  return {
    path,
    metadata: Object.assign({}, ...parts.map(({ metadata }) => metadata)),
    tensors: new Map(parts.flatMap(({ tensors }) => [...tensors])),
    read: (name) => partWith(name).read(name),
    readPooled: (name) => partWith(name).readPooled(name),
    readAhead: (names) => {
      for (const name of names) partWith(name).readAhead([name])
    },
    readRows: (name, rows) => partWith(name).readRows(name, rows),
    float32: (name) => partWith(name).float32(name),
    readStart: (name, count) => partWith(name).readStart(name, count),
    close,
  }
}

/**
 * A view of some or all tensors of a file, under other names. Closing it closes the file.
 * @param stored the name in the file by the name in the view.
 */
export function viewTensors(file: Safetensors, stored: ReadonlyMap<string, string>): Safetensors {
  const nameOf = (name: string) => {
    const found = stored.get(name)
    if (found === undefined) throw new Error(`${file.path} has no tensor ${name}`)
    return found
  }
  return {
    path: file.path,
    metadata: file.metadata,
    tensors: new Map([...stored].map(([name, old]) => [name, file.tensors.get(old) as TensorInfo])),
    read: (name) => file.read(nameOf(name)),
    readPooled: (name) => file.readPooled(nameOf(name)),
    readAhead: (names) => file.readAhead(names.map(nameOf)),
    readRows: (name, rows) => file.readRows(nameOf(name), rows),
    float32: (name) => file.float32(nameOf(name)),
    readStart: (name, count) => file.readStart(nameOf(name), count),
    close: file.close,
  }
}

function openPath(path: string): Safetensors[] {
  if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) return [openSafetensors(path)]
  const index = readdirSync(path).find((name) => name.endsWith(indexSuffix))
  if (index !== undefined) return openIndexed(path, index)
  const weights = weightsIn(path)
  if (weights.length > 0) return openWeightFiles(weights)
  const inSubfolders = readdirSync(path)
    .sort()
    .flatMap((name) => weightsIn(join(path, name)))
  if (inSubfolders.length > 0) return openWeightFiles(inSubfolders)
  throw new UserError(`${path} holds no safetensors files`, { hint: 'check the path of the folder' })
}

/** The safetensors files of a folder. A folder with an index is a model of its own: its files are not listed. */
function weightsIn(folder: string): string[] {
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return []
  const names = readdirSync(folder)
    .filter((name) => !name.startsWith('.')) // such as the ._ files of macOS
    .sort()
  if (names.some((name) => name.endsWith(indexSuffix))) return []
  return names.filter((name) => name.endsWith('.safetensors')).map((name) => join(folder, name))
}

const indexSuffix = '.safetensors.index.json'

function openIndexed(folder: string, index: string): Safetensors[] {
  const path = join(folder, index)
  const fileByTensor = parseIndex(readFileSync(path, 'utf8'), path)
  const files = [...new Set(fileByTensor.values())]
  const shards = openWeightFiles(files.map((file) => join(folder, file)))
  for (const [name, file] of fileByTensor)
    if (!shards[files.indexOf(file)]?.tensors.has(name)) {
      for (const shard of shards) shard.close()
      throw new UserError(`${join(folder, file)} has no tensor ${name}, which ${index} says it holds`, {
        hint: 'download the folder again',
      })
    }
  return shards
}

const indexSchema = z.object({ weight_map: z.record(z.string(), z.string()) })

/** The file of each tensor. @throws UserError when the text is not an index, or names a tensor twice. */
export function parseIndex(text: string, path: string): Map<string, string> {
  const hint = 'download the folder again'
  const invalid = (cause: unknown) => new UserError(`${path} is not an index of safetensors files`, { hint, cause })
  const repeated = (key: string) => new UserError(`${path} names ${key} twice`, { hint })
  const { data, error } = indexSchema.safeParse(parseJson(text, { invalid, repeated }))
  if (error) throw invalid(error)
  return new Map(Object.entries(data.weight_map))
}
