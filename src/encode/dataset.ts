/** From the fitted clips and captions of a dataset to encoded pairs. */
import type { Waveform } from '../audio/waveform.ts'
import { type ClipStore, clipSampleRate, type FittedPair } from '../dataset/clips.ts'
import type { Dataset } from '../dataset/dataset.ts'
import type { HostMatrix } from '../engine/device-tensors.ts'
import type { BaseModel } from '../model/base-model.ts'
import type { Reporter } from '../platform/progress.ts'
import type { Cache } from './cache.ts'
import { encodeTexts } from './captions.ts'
import { openClipEncoder } from './clips.ts'

/** A pair ready for training: latent patches `[T, 128]` of both sides and the context `[S, D]` of the caption. */
export type EncodedPair = { name: string; target: HostMatrix; reference: HostMatrix; context: HostMatrix }

export type EncodedDataset = {
  pairs: EncodedPair[]
  /** Latent patches of the references of the previews, in their order. */
  references: HostMatrix[]
  /** Contexts of all captions and prompts, by text. */
  contexts: ReadonlyMap<string, HostMatrix>
}

export type EncodeDatasetInput = {
  dataset: Dataset
  base: BaseModel
  cache: Cache
  /** The fitted pairs. */
  clips: ClipStore
  /** The references of the previews, fitted. */
  references: readonly Waveform[]
  /** Texts beside the captions: prompts of the previews, and the negative prompt. */
  prompts: readonly string[]
  /** Called with each pair. */
  onClip?: (pair: FittedPair) => void | Promise<void>
}

/** Everything that training and its previews need of the data. When this returns, the encoders have left memory. */
export async function encodeDataset(input: EncodeDatasetInput, reporter: Reporter): Promise<EncodedDataset> {
  const { dataset, base, cache, onClip } = input
  const used = dataset.pairs.filter(({ plan }) => plan.use)
  const stage = reporter.stage('Encoding clips', used.length, 'pairs')
  const encoder = openClipEncoder(base, cache)
  const encodedClips: (Omit<EncodedPair, 'context'> & { caption: string })[] = []
  let references: HostMatrix[] = []
  try {
    for (const pair of used) {
      const fitted = input.clips.get(pair.name)
      await onClip?.(fitted)
      const { name, caption } = fitted
      encodedClips.push({
        name,
        caption,
        reference: encoder.encode(fitted.reference),
        target: encoder.encode(fitted.target),
      })
      stage.update(encodedClips.length)
      reporter.throwIfAborted()
    }
    references = input.references.map(encoder.encode)
  } finally {
    encoder.close()
  }
  stage.finish(`${encodedClips.length} pairs of ${dataset.options.seconds} s at ${clipSampleRate / 1000} kHz`)
  const captions = encodedClips.map(({ caption }) => caption)
  const contexts = await encodeTextsWithProgress(base, [...captions, ...input.prompts], cache, reporter)
  const pairs = encodedClips.map(({ caption, ...clip }) => ({ ...clip, context: contexts.get(caption) as HostMatrix }))
  return { pairs, references, contexts }
}

/** The contexts of texts, each distinct text encoded once, as a stage of the work. */
export async function encodeTextsWithProgress(
  base: BaseModel,
  all: readonly string[],
  cache: Cache,
  reporter: Reporter,
): Promise<ReadonlyMap<string, HostMatrix>> {
  const texts = new Set(all)
  const stage = reporter.stage('Encoding captions', texts.size, 'captions')
  const contexts = await encodeTexts(base, texts, cache, (done, total) => {
    stage.update((done / total) * texts.size)
    reporter.throwIfAborted()
  })
  stage.finish(`${texts.size} distinct captions and prompts`)
  return contexts
}
