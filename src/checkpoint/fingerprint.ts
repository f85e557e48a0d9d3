/** Telling checkpoints apart without reading them whole. */
import { createHash } from 'node:crypto'
import type { Safetensors } from './safetensors.ts'

/**
 * A short name for weights: the hash of the name, type, shape and first kilobyte of every tensor that is a part. It is the same for a file that
 * carries other tensors too, and different for any fine-tune.
 */
export function fingerprint(file: Safetensors, isPart: (name: string) => boolean): string {
  const hash = createHash('sha256')
  for (const name of [...file.tensors.keys()].filter(isPart).sort()) {
    const { dtype, shape } = file.tensors.get(name) ?? {}
    hash.update(JSON.stringify([name, dtype, shape])).update(file.readStart(name, 1024))
  }
  return hash.digest('hex').slice(0, 16)
}
