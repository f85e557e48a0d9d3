/**
 * Makes the bundled base: a checkpoint in the exact layout of LTX-2.3's audio path and a text encoder in that of Gemma 3, both tiny and random, to
 * try the tool with. The same bytes every time: `npx tsx scripts/make-base.ts`.
 */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { writeSafetensors } from '../src/checkpoint/safetensors.ts'
import { startBackend } from '../src/engine/backend.ts'
import { replaceJson } from '../src/files.ts'
import { calibrateLatents, calibrateLoudness } from './base/calibration.ts'
import { checkpointMetadata, textEncoderConfig } from './base/configs.ts'
import { checkpointLayout, textEncoderLayout } from './base/layout.ts'
import { logMel } from './base/sizes.ts'
import { makeTokenizer, processorConfig, tokenizerConfig } from './base/tokenizer.ts'
import { centreInput, drawWeights } from './base/weights.ts'

export const baseFolder = fileURLToPath(new URL('../fixtures/base', import.meta.url))

/** Writes both into the folder. Measures with the wasm backend, which computes the same on every machine. */
export async function makeBase(folder: string) {
  await startBackend('wasm')
  makeCheckpoint(join(folder, 'ltx-2.3-tiny-audio.safetensors'))
  makeTextEncoder(join(folder, 'gemma3-tiny'))
}

function makeCheckpoint(path: string) {
  const tensors = drawWeights(checkpointLayout())
  centreInput(tensors, 'audio_vae.encoder.conv_in.conv', logMel.mean)
  centreInput(tensors, 'vocoder.vocoder.conv_pre', logMel.silence)
  centreInput(tensors, 'vocoder.bwe_generator.conv_pre', logMel.silence)
  calibrateLatents(tensors)
  calibrateLoudness(tensors)
  writeSafetensors(path, tensors, checkpointMetadata)
}

function makeTextEncoder(folder: string) {
  const tokenizer = makeTokenizer()
  const vocabularySize = Object.keys(tokenizer.model.vocab).length
  writeSafetensors(join(folder, 'model.safetensors'), drawWeights(textEncoderLayout(vocabularySize)), { format: 'pt' })
  replaceJson(join(folder, 'config.json'), textEncoderConfig(vocabularySize))
  replaceJson(join(folder, 'tokenizer.json'), tokenizer)
  replaceJson(join(folder, 'tokenizer_config.json'), tokenizerConfig)
  replaceJson(join(folder, 'processor_config.json'), processorConfig)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await makeBase(baseFolder)
