/**
 * Contexts of captions as a file, so that a machine without the 24 GB of the text encoder can train: made by `encode-captions` on one that has
 * them. A tensor is named after the hash of its text; the metadata says which base the contexts are for.
 */
import { createHash } from 'node:crypto'
import { basename } from 'node:path'
import { float32Bytes } from '../checkpoint/dtypes.ts'
import { openSafetensors, type StoredTensor, writeSafetensors } from '../checkpoint/safetensors.ts'
import type { HostMatrix } from '../engine/host-matrix.ts'
import { UserError } from '../errors.ts'

/** Float32, so that a run is the same to the byte whether its contexts come from a file or from the text encoder itself. */
export function writeTextEmbeddings(path: string, base: string, contexts: ReadonlyMap<string, HostMatrix>) {
  const tensors = new Map<string, StoredTensor>()
  for (const [text, { shape, values }] of contexts)
    tensors.set(tensorName(text), { dtype: 'F32', shape, bytes: float32Bytes(values) })
  writeSafetensors(path, tensors, { kind, base_model: base })
}

export type TextEmbeddings = {
  path: string
  has(text: string): boolean
  /** `[S, D]`; undefined for a text that is not in the file. */
  get(text: string): HostMatrix | undefined
  close(): void
}

/**
 * @param base the fingerprint of the base they must be for.
 * @throws UserError when the file is missing, is something else, or is for another base.
 */
export function openTextEmbeddings(path: string, base: string): TextEmbeddings {
  const file = openSafetensors(path)
  const refuse = (why: string, hint: string) => {
    file.close()
    return new UserError(`${basename(path)} ${why}`, { hint })
  }
  if (file.metadata.kind !== kind)
    throw refuse('does not hold encoded captions', 'make one with ltx-a2a encode-captions')
  if (file.metadata.base_model !== base)
    throw refuse(
      `was encoded for another base model (${file.metadata.base_model}, this one is ${base})`,
      'encode the captions again with this --model',
    )
  return {
    path,
    has: (text) => file.tensors.has(tensorName(text)),
    get: (text) => {
      const name = tensorName(text)
      const [rows, columns] = file.tensors.get(name)?.shape ?? []
      return rows === undefined || columns === undefined
        ? undefined
        : { shape: [rows, columns], values: file.float32(name) }
    },
    close: file.close,
  }
}

const kind = 'ltx-a2a text embeddings'

const tensorName = (text: string) => `context.${createHash('sha256').update(text).digest('hex').slice(0, 40)}`
