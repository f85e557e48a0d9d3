/** A folder of weights in the Hugging Face layout: one `model.safetensors`, or several files and an index that says which tensor lies where. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { UserError } from '../errors.ts'
import { openSafetensors, type Safetensors } from './safetensors.ts'

const indexSchema = z.object({ weight_map: z.record(z.string(), z.string()) })

/**
 * Opens the folder's weights as if they were one file.
 * @throws UserError when a file of the folder is missing or broken.
 */
export function openShards(folder: string): Safetensors {
  const index = join(folder, 'model.safetensors.index.json')
  if (!existsSync(index)) return openSafetensors(join(folder, 'model.safetensors'))
  const shards: Safetensors[] = []
  try {
    for (const file of filesOf(index)) shards.push(openSafetensors(join(folder, file)))
    return joined(folder, shards)
  } catch (error) {
    for (const shard of shards) shard.close()
    throw error
  }
}

function joined(path: string, shards: Safetensors[]): Safetensors {
  const homes = new Map(shards.flatMap((shard) => [...shard.tensors.keys()].map((name) => [name, shard] as const)))
  const homeOf = (name: string) => {
    const shard = homes.get(name)
    if (!shard) throw new Error(`${path} has no tensor ${name}`)
    return shard
  }
  return {
    path,
    metadata: Object.assign({}, ...shards.map(({ metadata }) => metadata)),
    tensors: new Map(shards.flatMap(({ tensors }) => [...tensors])),
    read: (name) => homeOf(name).read(name),
    readRows: (name, rows) => homeOf(name).readRows(name, rows),
    float32: (name) => homeOf(name).float32(name),
    readStart: (name, count) => homeOf(name).readStart(name, count),
    close: () => {
      for (const shard of shards) shard.close()
    },
  }
}

function filesOf(index: string): Set<string> {
  try {
    return new Set(Object.values(indexSchema.parse(JSON.parse(readFileSync(index, 'utf8'))).weight_map))
  } catch (cause) {
    throw new UserError(`${index} is not an index of safetensors files`, { hint: 'download the folder again', cause })
  }
}
