/**
 * Makes the base that the tests use: a checkpoint in the layout of LTX-2.3's audio path and a text encoder in the layout of Gemma 3, both tiny and with
 * random weights. `npx tsx scripts/make-tiny-base.ts` writes the same bytes every time.
 */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startBackend } from '../src/engine/backend.ts'
import { writeSafetensors } from '../src/formats/safetensors.ts'
import { calibrateLatents, calibrateLoudness } from './base/calibration.ts'
import { checkpointMetadata } from './base/configs.ts'
import { checkpointLayout } from './base/layout.ts'
import { logMel, tinySize } from './base/sizes.ts'
import { makeTextEncoder } from './base/text-encoder.ts'
import { centerInput, initWeights } from './base/weights.ts'

export const tinyBaseFolder = fileURLToPath(new URL('../test/base', import.meta.url))

export const tinyBaseMetadata = checkpointMetadata(
  tinySize,
  'random weights in the layout of LTX-2.3, for trying the tool; not a trained model',
)

/** Writes both into the folder. Calibration runs on the wasm backend, which gives the same values on every machine. */
export async function makeTinyBase(folder: string) {
  await startBackend('wasm')
  makeCheckpoint(join(folder, 'ltx-2.3-tiny-audio.safetensors'))
  makeTextEncoder(join(folder, 'gemma3-tiny'), tinySize)
}

function makeCheckpoint(path: string) {
  const tensors = initWeights(checkpointLayout(tinySize))
  centerInput(tensors, 'audio_vae.encoder.conv_in.conv', logMel.mean)
  centerInput(tensors, 'vocoder.vocoder.conv_pre', logMel.silence)
  centerInput(tensors, 'vocoder.bwe_generator.conv_pre', logMel.silence)
  calibrateLatents(tensors, tinyBaseMetadata)
  calibrateLoudness(tensors, tinyBaseMetadata)
  writeSafetensors(path, tensors, tinyBaseMetadata)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await makeTinyBase(tinyBaseFolder)
