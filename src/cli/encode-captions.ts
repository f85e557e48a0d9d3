/** `ltx-a2a encode-captions`: the captions of a dataset as the transformer reads them, for a machine that cannot hold the text encoder. */
import type { EncodeSettings } from '../config/settings.ts'
import { composeCaption, decodeCaption } from '../dataset/caption.ts'
import { findPairs } from '../dataset/pairs.ts'
import { openSource } from '../dataset/source.ts'
import { openCache } from '../encode/cache.ts'
import { encodeTexts, requireTexts, writeTextEmbeddings } from '../encode/captions.ts'
import { startBackend } from '../engine/backend.ts'
import { openBaseModel } from '../model/base-model.ts'
import { watchInterruption } from './signals.ts'
import type { Terminal } from './terminal/terminal.ts'
import { describeBase } from './train.ts'

/** @throws UserError when the data, the model or its text encoder cannot be read. */
export async function runEncodeCaptions(settings: EncodeSettings, terminal: Terminal): Promise<void> {
  const interruption = watchInterruption(() => terminal.note('stopping'))
  try {
    const texts = new Set([...(await textsOf(settings)), ...settings.prompts])
    const base = openBaseModel(settings)
    const cache = openCache()
    requireTexts(base, texts, cache)
    describeBase(base, terminal)
    const backend = await startBackend(settings.backend)
    terminal.note(`Backend: ${backend.name}, ${backend.description}`)
    const stage = terminal.stage('Encoding captions', texts.size, 'captions')
    const contexts = await encodeTexts(base, texts, cache, (done, total) => {
      stage.update((done / total) * texts.size)
      interruption.check()
    })
    writeTextEmbeddings(settings.out, base.fingerprint, contexts)
    stage.done(`${texts.size} distinct captions and prompts`)
    terminal.note(`Use them with --text-embeddings ${settings.out}`)
    terminal.result(settings.out)
  } finally {
    interruption.release()
  }
}

/** The captions of all pairs, too short ones included: the sound is not looked at. */
async function textsOf({ trainingDataUrl, triggerPhrase }: EncodeSettings): Promise<string[]> {
  const source = await openSource(trainingDataUrl)
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
