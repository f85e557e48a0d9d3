/** Encodes fitted clips to latents, with the mel front end and the encoder of the audio VAE. */
import * as tf from '@tensorflow/tfjs'
import { logMel } from '../audio/mel.ts'
import type { Waveform } from '../audio/waveform.ts'
import { fromBatch, type HostMatrix } from '../engine/device-tensors.ts'
import { float32Bytes } from '../formats/dtypes.ts'
import { type AudioVae, disposeAudioVae, encodeMel, loadAudioVae } from '../model/audio-vae/audio-vae.ts'
import { patchify } from '../model/audio-vae/latents.ts'
import type { BaseModel } from '../model/base-model.ts'
import type { AudioVaeConfig } from '../model/config.ts'
import { type Cache, cacheKey } from './cache.ts'

export type ClipEncoder = {
  /** The normalized latents of a stereo waveform at 16 kHz as patches, `[T, 128]`, from the cache if they are there. */
  encode(waveform: Waveform): HostMatrix
  /** Disposes of the encoder's weights. */
  close(): void
}

type EncodingBase = Pick<BaseModel, 'components' | 'config' | 'fingerprint'>

/** Loads the encoder's weights when the first clip that is not in the cache is encoded. */
export function openClipEncoder({ components, config, fingerprint }: EncodingBase, cache: Cache): ClipEncoder {
  let vae: AudioVae | undefined
  return {
    encode: (waveform) => {
      const key = cacheKey('patches', fingerprint, waveform.sampleRate, ...waveform.channels.map(float32Bytes))
      const cached = cache.get(key)
      if (cached) return cached
      vae ??= loadAudioVae(components.audioVae, config.audio_vae, { decoder: false })
      const patches = encodeWaveform(vae, waveform, config.audio_vae)
      cache.put(key, patches)
      return patches
    },
    close: () => {
      if (vae) disposeAudioVae(vae)
    },
  }
}

function encodeWaveform(vae: AudioVae, waveform: Waveform, { model, preprocessing }: AudioVaeConfig): HostMatrix {
  const { filter_length: nFft, hop_length: hop } = preprocessing.stft
  const melBins = preprocessing.mel.n_mel_channels
  const { channels, frames, data } = logMel(waveform, { sampleRate: model.params.sampling_rate, nFft, hop, melBins })
  return fromBatch(tf.tidy(() => patchify(encodeMel(vae, tf.tensor4d(data, [1, channels, frames, melBins])))))
}
