/** The checkpoints of the base between the stages of its training, in the working folder. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { openSafetensors, writeSafetensors } from '../../src/formats/safetensors.ts'
import { checkpointMetadata } from '../base/configs.ts'
import { checkpointLayout } from '../base/layout.ts'
import { logMel, trainedSize } from '../base/sizes.ts'
import type { Tensors } from '../base/tensors.ts'
import { centerInput, initWeights } from '../base/weights.ts'

export const baseMetadata = checkpointMetadata(
  trainedSize,
  'a small model in the layout of LTX-2.3 that has learned from generated sound; see MODEL_CARD.md',
)

/** A checkpoint, or the initial weights when it does not exist. */
export function readStageCheckpoint(folder: string, name = 'base'): Tensors {
  const path = join(folder, `${name}.safetensors`)
  return existsSync(path) ? readTensors(path) : initialBase()
}

/** All tensors of a checkpoint. */
export function readTensors(path: string): Tensors {
  const file = openSafetensors(path)
  const tensors: Tensors = new Map([...file.tensors.keys()].map((name) => [name, file.read(name)]))
  file.close()
  return tensors
}

export const writeStageCheckpoint = (folder: string, tensors: Tensors, name = 'base') =>
  writeSafetensors(join(folder, `${name}.safetensors`), tensors, baseMetadata)

function initialBase(): Tensors {
  const tensors = initWeights(checkpointLayout(trainedSize))
  centerInput(tensors, 'audio_vae.encoder.conv_in.conv', logMel.mean)
  return tensors
}
