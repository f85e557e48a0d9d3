/**
 * Writes the metadata of the bundled base and of the tests' base again, after a change of `base/configs.ts`. The tensors keep their order and bytes:
 *
 *     npx tsx scripts/write-base-metadata.ts
 */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openSafetensors, type StoredTensor, writeSafetensors } from '../src/formats/safetensors.ts'
import type { Metadata } from '../src/formats/safetensors-header.ts'
import { tinyBaseFolder, tinyBaseMetadata } from './make-tiny-base.ts'
import { baseMetadata } from './pretrain/stage-checkpoints.ts'

const bundledBaseFolder = fileURLToPath(new URL('../fixtures/base', import.meta.url))

replaceMetadata(bundledBaseFolder, baseMetadata)
replaceMetadata(tinyBaseFolder, tinyBaseMetadata)

function replaceMetadata(folder: string, metadata: Metadata) {
  const path = join(folder, 'ltx-2.3-tiny-audio.safetensors')
  const file = openSafetensors(path)
  const tensors = new Map<string, StoredTensor>([...file.tensors.keys()].map((name) => [name, file.read(name)]))
  file.close()
  writeSafetensors(path, tensors, metadata)
}
