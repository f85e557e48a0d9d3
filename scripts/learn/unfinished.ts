/** The base between its stages: a checkpoint in the working folder, drawn at random the first time. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { openSafetensors, writeSafetensors } from '../../src/formats/safetensors.ts'
import { checkpointMetadata } from '../base/configs.ts'
import { checkpointLayout } from '../base/layout.ts'
import { learnedSize, logMel } from '../base/sizes.ts'
import type { Tensors } from '../base/tensors.ts'
import { centreInput, drawWeights } from '../base/weights.ts'

export const baseMetadata = checkpointMetadata(
  learnedSize,
  'a small model in the layout of LTX-2.3 that has learned from generated sound; see MODEL_CARD.md',
)

export function readBase(folder: string, part = 'base'): Tensors {
  const path = join(folder, `${part}.safetensors`)
  if (!existsSync(path)) return drawBase()
  const file = openSafetensors(path)
  const tensors: Tensors = new Map([...file.tensors.keys()].map((name) => [name, file.read(name)]))
  file.close()
  return tensors
}

export const writeBase = (folder: string, tensors: Tensors, part = 'base') =>
  writeSafetensors(join(folder, `${part}.safetensors`), tensors, baseMetadata)

function drawBase(): Tensors {
  const tensors = drawWeights(checkpointLayout(learnedSize))
  centreInput(tensors, 'audio_vae.encoder.conv_in.conv', logMel.mean)
  centreInput(tensors, 'vocoder.vocoder.conv_pre', logMel.mean)
  return tensors
}
