/** Encodes the fitted clips and captions of a dataset. Clips become latents, with the mel front end and the encoder of the audio VAE. */
import { createHash } from 'node:crypto'
import * as tf from '@tensorflow/tfjs'
import { logMel } from '../audio/mel.ts'
import type { Waveform } from '../audio/waveform.ts'
import { type ClipStore, clipSampleRate, type FittedPair, type StoredRecording } from '../dataset/clips.ts'
import type { DatasetOptions } from '../dataset/fit-plan.ts'
import { drawClip } from '../dataset/windows.ts'
import { fromBatch, type HostMatrix } from '../engine/device-tensors.ts'
import { float32Bytes } from '../formats/dtypes.ts'
import { type AudioVae, disposeAudioVae, encodeMel, loadAudioVae } from '../model/audio-vae/audio-vae.ts'
import { patchify } from '../model/audio-vae/latents.ts'
import type { BaseModel } from '../model/base-model.ts'
import { type AudioVaeConfig, melOptionsOf } from '../model/config.ts'
import { melTensor } from '../model/mel-tensor.ts'
import type { Reporter } from '../platform/progress.ts'
import type { Random } from '../platform/random.ts'
import { countText } from '../platform/text.ts'
import { type Cache, cacheKey, noCache } from './cache.ts'
import { encodeTextsWithProgress } from './captions.ts'

/** A pair ready for training: latent patches `[T, 128]` of both sides and the context `[S, D]` of the caption. */
export type EncodedPair = {
  name: string
  target: HostMatrix
  reference: HostMatrix
  context: HostMatrix
  /** A hash of the whole recordings, where clips come from random places of them. */
  recordings?: string
}

export type EncodedDataset = {
  pairs: EncodedPair[]
  /** The held-out pairs. */
  heldOut: EncodedPair[]
  /** Latent patches of the references of the previews, in their order. */
  references: HostMatrix[]
  /** Contexts of all captions and prompts, by text. */
  contexts: ReadonlyMap<string, HostMatrix>
}

/** The names of fitted clips, and where these are stored. */
export type StoredClips = { names: readonly string[]; clips: ClipStore }

export type EncodeDatasetInput = {
  training: StoredClips
  heldOut: StoredClips
  /** The length of a clip. */
  seconds: number
  base: BaseModel
  cache: Cache
  /** The references of the previews, fitted. */
  references: readonly Waveform[]
  /** Texts beside the captions: prompts of the previews, and the negative prompt. */
  prompts: readonly string[]
  /** Called with each pair that is trained on. */
  onClip?: (pair: FittedPair) => void | Promise<void>
}

/** Everything that training and its previews need of the data. When this returns, the memory of the encoders is freed. */
export async function encodeDataset(input: EncodeDatasetInput, reporter: Reporter): Promise<EncodedDataset> {
  const { training, heldOut, base, cache, onClip } = input
  const stage = reporter.stage('Encoding clips', training.names.length + heldOut.names.length, 'clips')
  const encoder = openClipEncoder(base, cache)
  type EncodedClip = Omit<EncodedPair, 'context'> & { caption: string }
  let encodedClips = 0
  const encodeClips = async ({ names, clips }: StoredClips, onClip?: EncodeDatasetInput['onClip']) => {
    const encoded: EncodedClip[] = []
    for (const name of names) {
      const fitted = clips.get(name)
      await onClip?.(fitted)
      encoded.push({
        name,
        caption: fitted.caption,
        reference: await encoder.encode(fitted.reference),
        target: await encoder.encode(fitted.target),
        ...hashOfRecordings(clips.recording(name)),
      })
      stage.update(++encodedClips)
      reporter.throwIfAborted()
    }
    return encoded
  }
  let clips: { training: EncodedClip[]; heldOut: EncodedClip[]; references: HostMatrix[] }
  try {
    clips = { training: await encodeClips(training, onClip), heldOut: await encodeClips(heldOut), references: [] }
    for (const reference of input.references) clips.references.push(await encoder.encode(reference))
  } finally {
    encoder.close()
  }
  stage.finish(`${countText(encodedClips, 'clip')} of ${input.seconds} s at ${clipSampleRate / 1000} kHz`)
  const captions = [...clips.training, ...clips.heldOut].map(({ caption }) => caption)
  const contexts = await encodeTextsWithProgress(base, [...captions, ...input.prompts], cache, reporter)
  const withContext = ({ caption, ...clip }: EncodedClip) => ({ ...clip, context: contexts.get(caption) as HostMatrix })
  return {
    pairs: clips.training.map(withContext),
    heldOut: clips.heldOut.map(withContext),
    references: clips.references,
    contexts,
  }
}

function hashOfRecordings(recording: StoredRecording | undefined) {
  if (!recording) return {}
  const hash = createHash('sha256')
  for (const side of [recording.reference.sound, recording.target.sound])
    for (let at = 0; at < side.samples(); at += hashedSamples)
      for (const channel of side.read(at, hashedSamples).channels) hash.update(float32Bytes(channel))
  return { recordings: hash.digest('hex').slice(0, 16) }
}

const hashedSamples = 2 ** 18

/** Encodes clips from random places of recordings while training runs. */
export type ClipDrawer = {
  /** Latent patches of both sides, `[T, 128]`. Undefined for a pair that is no longer than a clip, and where no place with sound was found. */
  draw(pair: string, random: Random): Promise<Pick<EncodedPair, 'reference' | 'target'> | undefined>
  /** Disposes of the encoder's weights. */
  close(): void
}

/** @param options how clips are fitted. The encoder's weights are loaded for the first clip. */
export function openClipDrawer(
  base: EncodingBase,
  clips: ClipStore,
  options: Pick<DatasetOptions, 'seconds' | 'normalize'>,
): ClipDrawer {
  const encoder = openClipEncoder(base, noCache) // no clip comes again
  return {
    draw: async (pair, random) => {
      const recording = clips.recording(pair)
      const drawn = recording && drawClip(recording, random, options)
      if (!drawn) return undefined
      return { reference: await encoder.encode(drawn.reference), target: await encoder.encode(drawn.target) }
    },
    close: encoder.close,
  }
}

export type ClipEncoder = {
  /** The normalized latents of a stereo waveform at 16 kHz as patches, `[T, 128]`, from the cache if they are there. */
  encode(waveform: Waveform): Promise<HostMatrix>
  /** Disposes of the encoder's weights. */
  close(): void
}

type EncodingBase = Pick<BaseModel, 'components' | 'config' | 'fingerprint'>

/** Loads the encoder's weights when the first clip that is not in the cache is encoded. */
export function openClipEncoder({ components, config, fingerprint }: EncodingBase, cache: Cache): ClipEncoder {
  let vae: AudioVae | undefined
  return {
    encode: async (waveform) => {
      const key = cacheKey('patches', fingerprint, waveform.sampleRate, ...waveform.channels.map(float32Bytes))
      const cached = cache.get(key)
      if (cached) return cached
      vae ??= loadAudioVae(components.audioVae, config.audio_vae, { decoder: false })
      const patches = await encodeWaveform(vae, waveform, config.audio_vae)
      cache.put(key, patches)
      return patches
    },
    close: () => {
      if (vae) disposeAudioVae(vae)
    },
  }
}

function encodeWaveform(vae: AudioVae, waveform: Waveform, config: AudioVaeConfig): Promise<HostMatrix> {
  const mel = logMel(waveform, melOptionsOf(config))
  return fromBatch(tf.tidy(() => patchify(encodeMel(vae, melTensor(mel)))))
}
