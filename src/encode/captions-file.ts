/** The captions and prompts of a job, encoded to a file that a machine without the text encoder can train with. */
import type { Limits } from '../config/limits.ts'
import type { EncodeSettings } from '../config/settings.ts'
import { composeCaption, decodeCaption, findPairs } from '../dataset/pairs.ts'
import { openSource } from '../dataset/source.ts'
import { startBackend } from '../engine/backend.ts'
import { describeBase, openBase } from '../model/base-model.ts'
import { createReporter, type ProgressEvent, type RunOptions } from '../platform/progress.ts'
import { openCache } from './cache.ts'
import { requireTextEncoderFor, writeTextEmbeddings } from './captions.ts'
import { encodeTextsWithProgress } from './dataset.ts'

/** @throws UserError when the data, the model or its text encoder cannot be read. */
export async function encodeCaptionsToFile(
  settings: EncodeSettings,
  { limits, ...options }: RunOptions<ProgressEvent> & { limits?: Limits | undefined } = {},
): Promise<void> {
  const reporter = createReporter<ProgressEvent>(options)
  const texts = [...(await captionsOf(settings, limits)), ...settings.prompts]
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

/** The captions of all pairs, also of those that are too short: the sound is not decoded. */
async function captionsOf({ trainingDataUrl, triggerPhrase }: EncodeSettings, limits?: Limits): Promise<string[]> {
  const source = await openSource(trainingDataUrl, { limits })
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
