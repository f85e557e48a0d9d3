/** The way from a looked-through dataset to encoded pairs: fit, encode sound, encode words. */

import type { Interruption } from '../cli/signals.ts'
import type { Terminal } from '../cli/terminal/terminal.ts'
import { clipRate, type FittedPair, fitPair } from '../dataset/clips.ts'
import type { Dataset } from '../dataset/dataset.ts'
import type { Source } from '../dataset/source.ts'
import type { HostMatrix } from '../engine/device-tensors.ts'
import type { BaseModel } from '../model/base-model.ts'
import type { EncodedPair } from '../train/trainer.ts'
import type { ValidationClip } from '../train/validation.ts'
import type { Cache } from './cache.ts'
import { encodeTexts } from './captions.ts'
import { openClipEncoder } from './clips.ts'

export type Encoded = {
  pairs: EncodedPair[]
  /** Patches of the validation references, in their order. */
  references: HostMatrix[]
  /** Contexts of all captions and prompts, by text. */
  contexts: ReadonlyMap<string, HostMatrix>
}

export type EncodeOptions = {
  source: Source
  dataset: Dataset
  base: BaseModel
  cache: Cache
  clips: readonly ValidationClip[]
  /** Texts beyond the captions: prompts of the previews, and the negative one. */
  prompts: readonly string[]
  onClip?: (pair: FittedPair) => void
}

/** Everything that training and its previews need of the data. The encoders have left memory when this returns. */
export async function encodeDataset(
  options: EncodeOptions,
  terminal: Terminal,
  interruption: Interruption,
): Promise<Encoded> {
  const { source, dataset, base, cache, clips, onClip } = options
  const used = dataset.pairs.filter(({ plan }) => plan.use)
  const stage = terminal.stage('Encoding clips', used.length, 'pairs')
  const encoder = openClipEncoder(base, cache)
  const sounds: { name: string; caption: string; reference: HostMatrix; target: HostMatrix }[] = []
  let references: HostMatrix[] = []
  try {
    for (const pair of used) {
      const fitted = await fitPair(source, pair, dataset.options)
      onClip?.(fitted)
      const { name, caption } = fitted
      sounds.push({ name, caption, reference: encoder.encode(fitted.reference), target: encoder.encode(fitted.target) })
      stage.update(sounds.length)
      interruption.check()
    }
    references = clips.map(({ reference }) => encoder.encode(reference))
  } finally {
    encoder.close()
  }
  stage.done(`${sounds.length} pairs of ${dataset.options.seconds} s at ${clipRate / 1000} kHz`)
  const contexts = await encodeWords(options, sounds, terminal, interruption)
  const contextOf = (text: string) => contexts.get(text) as HostMatrix
  const pairs = sounds.map(({ caption, ...sound }) => ({ ...sound, context: contextOf(caption) }))
  return { pairs, references, contexts }
}

async function encodeWords(
  { base, cache, prompts }: EncodeOptions,
  sounds: readonly { caption: string }[],
  terminal: Terminal,
  interruption: Interruption,
) {
  const texts = new Set([...sounds.map(({ caption }) => caption), ...prompts])
  const stage = terminal.stage('Encoding captions', texts.size, 'captions')
  const contexts = await encodeTexts(base, texts, cache, (done, total) => {
    stage.update((done / total) * texts.size)
    interruption.check()
  })
  stage.done(`${texts.size} distinct captions and prompts`)
  return contexts
}
