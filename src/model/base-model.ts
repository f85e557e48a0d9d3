/** The base: one checkpoint in the LTX-2.3 layout and one text encoder folder, opened but not yet in memory. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { fingerprint } from '../checkpoint/fingerprint.ts'
import { openSafetensors, type Safetensors } from '../checkpoint/safetensors.ts'
import { UserError } from '../errors.ts'
import { type Components, isAudioTensor, ltxComponents } from './components.ts'
import { type ModelConfig, readModelConfig } from './config.ts'

export type BaseModel = {
  checkpoint: Safetensors
  config: ModelConfig
  components: Components
  /** The folder of a Gemma 3 text encoder. */
  textEncoder: string
  /** The same for every file with the same audio path. */
  fingerprint: string
  /** The small random base that comes with the package, for trying the tool. */
  isBundled: boolean
}

const bundled = fileURLToPath(new URL('../../fixtures/base', import.meta.url))
const bundledCheckpoint = join(bundled, 'ltx-2.3-tiny-audio.safetensors')
const bundledTextEncoder = join(bundled, 'gemma3-tiny')

/**
 * Opens a base; without paths the bundled one.
 * @throws UserError when a file is missing or is no LTX-2.3 checkpoint, or when a checkpoint is given without its text encoder.
 */
export function openBaseModel({
  model,
  textEncoder,
}: {
  model?: string | undefined
  textEncoder?: string | undefined
} = {}): BaseModel {
  if (model !== undefined && textEncoder === undefined)
    throw new UserError(`--model ${model} needs a text encoder`, { hint: 'add --text-encoder <folder of Gemma 3 12B>' })
  if (model === undefined && textEncoder !== undefined)
    throw new UserError(`--text-encoder ${textEncoder} needs a model`, { hint: 'add --model <ltx-2.3 checkpoint>' })
  const folder = textEncoder ?? bundledTextEncoder
  if (!existsSync(folder))
    throw new UserError(`the text encoder folder ${folder} does not exist`, { hint: 'check --text-encoder' })
  const checkpoint = openSafetensors(model ?? bundledCheckpoint)
  return {
    checkpoint,
    config: readModelConfig(checkpoint),
    components: ltxComponents(checkpoint),
    textEncoder: folder,
    fingerprint: fingerprint(checkpoint, isAudioTensor),
    isBundled: model === undefined,
  }
}
