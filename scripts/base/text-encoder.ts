/**
 * A text encoder in the layout of Gemma 3 with random weights, and its tokenizer. Random features are sufficient, because the audio stream is trained
 * on them.
 */
import { join } from 'node:path'
import { writeSafetensors } from '../../src/formats/safetensors.ts'
import { replaceJson } from '../../src/platform/files.ts'
import { textEncoderConfig } from './configs.ts'
import { textEncoderLayout } from './layout.ts'
import type { BaseSize } from './sizes.ts'
import { makeTokenizer, processorConfig, tokenizerConfig } from './tokenizer.ts'
import { initWeights } from './weights.ts'

/** Writes the weights, the config and the tokenizer into the folder. */
export function makeTextEncoder(folder: string, size: BaseSize) {
  const tokenizer = makeTokenizer()
  const vocabularySize = Object.keys(tokenizer.model.vocab).length
  writeSafetensors(join(folder, 'model.safetensors'), initWeights(textEncoderLayout(size, vocabularySize)), {
    format: 'pt',
  })
  replaceJson(join(folder, 'config.json'), textEncoderConfig(size, vocabularySize))
  replaceJson(join(folder, 'tokenizer.json'), tokenizer)
  replaceJson(join(folder, 'tokenizer_config.json'), tokenizerConfig)
  replaceJson(join(folder, 'processor_config.json'), processorConfig)
}
