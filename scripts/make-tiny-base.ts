/**
 * Makes the base of the tests: a checkpoint in the exact layout of LTX-2.3's audio path and a text encoder in that of Gemma 3, both tiny and random.
 * The same bytes every time: `npx tsx scripts/make-tiny-base.ts`.
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
import { centreInput, drawWeights } from './base/weights.ts'

export const tinyBaseFolder = fileURLToPath(new URL('../test/base', import.meta.url))

const metadata = checkpointMetadata(
  tinySize,
  'random weights in the layout of LTX-2.3, for trying the tool; not a trained model',
)

/** Writes both into the folder. Measures with the wasm backend, which computes the same on every machine. */
export async function makeTinyBase(folder: string) {
  await startBackend('wasm')
  makeCheckpoint(join(folder, 'ltx-2.3-tiny-audio.safetensors'))
  makeTextEncoder(join(folder, 'gemma3-tiny'), tinySize)
}

function makeCheckpoint(path: string) {
  const tensors = drawWeights(checkpointLayout(tinySize))
  centreInput(tensors, 'audio_vae.encoder.conv_in.conv', logMel.mean)
  centreInput(tensors, 'vocoder.vocoder.conv_pre', logMel.silence)
  centreInput(tensors, 'vocoder.bwe_generator.conv_pre', logMel.silence)
  calibrateLatents(tensors, metadata)
  calibrateLoudness(tensors, metadata)
  writeSafetensors(path, tensors, metadata)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await makeTinyBase(tinyBaseFolder)
