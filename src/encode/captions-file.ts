/** The command `encode-captions`: encodes the captions and prompts of a job to a file, for training on a machine without the text encoder. */
import type { Limits } from '../config/limits.ts'
import type { EncodeSettings } from '../config/settings.ts'
import { composeCaption, decodeCaption, findPairs } from '../dataset/pairs.ts'
import { openSource, type SourceOptions } from '../dataset/source.ts'
import { startBackend } from '../engine/backend.ts'
import { describeBase, openBase } from '../model/base-model.ts'
import { createReporter, type ProgressEvent, type RunOptions } from '../platform/progress.ts'
import { openCache } from './cache.ts'
import { requireTextEncoderFor, writeTextEmbeddings } from './captions.ts'
import { encodeTextsWithProgress } from './dataset.ts'

/**
 * Writes the contexts of all captions and prompts to `settings.out`.
 * @throws UserError when the data, the model or its text encoder cannot be read.
 */
export async function encodeCaptionsToFile(
  settings: EncodeSettings,
  { limits, ...options }: RunOptions<ProgressEvent> & { limits?: Limits | undefined } = {},
): Promise<void> {
  const reporter = createReporter<ProgressEvent>(options)
  const texts = [...(await captionsOf(settings, { limits, signal: options.signal })), ...settings.prompts]
  const base = openBase(settings)
  try {
    const cache = openCache()
    requireTextEncoderFor(base, texts, cache)
    reporter.info(describeBase(base))
    const backend = await startBackend(settings.backend)
    reporter.info(`Backend: ${backend.name}, ${backend.description}`)
    const contexts = await encodeTextsWithProgress(base, texts, cache, reporter)
    writeTextEmbeddings(settings.out, base.fingerprint, contexts)
  } finally {
    base.close()
  }
}

/** The captions of all pairs. The audio is not decoded, so pairs that are too short for training are included. */
async function captionsOf(
  { trainingDataUrl, triggerPhrase }: EncodeSettings,
  options: SourceOptions,
): Promise<string[]> {
  const source = await openSource(trainingDataUrl, options)
  try {
    const captions: string[] = []
    for (const { caption } of findPairs(source.paths).pairs) {
      const text = caption === undefined ? '' : (decodeCaption(await source.readText(caption)) ?? '')
      captions.push(composeCaption(triggerPhrase, text))
    }
    return captions
  } finally {
    await source.close()
  }
}
