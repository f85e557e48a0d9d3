/** Values that have to be measured: the statistics of the latents, and the output level of the vocoder. */
import * as tf from '@tensorflow/tfjs'
import { logMel } from '../../src/audio/mel.ts'
import type { Waveform } from '../../src/audio/waveform.ts'
import type { Metadata } from '../../src/formats/safetensors-header.ts'
import { decodeLatents, encodeMel, loadAudioVae } from '../../src/model/audio-vae/audio-vae.ts'
import { patchify } from '../../src/model/audio-vae/latents.ts'
import { ltxComponents } from '../../src/model/checkpoint-layout.ts'
import { melOptionsOf, readModelConfig, type VocoderConfig } from '../../src/model/config.ts'
import { melTensor } from '../../src/model/mel-tensor.ts'
import { loadVocoder, vocodeBatch } from '../../src/model/vocoder/vocoder.ts'
import { normals, randomFor } from '../../src/platform/random.ts'
import { typicalSounds } from './sounds.ts'
import { asCheckpoint, replaceValues, type Tensors, valuesOf } from './tensors.ts'

/** Sets the statistics so that normalized latents of typical sounds have mean 0 and standard deviation 1 in every channel and bin. */
export function calibrateLatents(tensors: Tensors, metadata: Metadata) {
  const { encode } = load(tensors, metadata)
  const latents = tf.concat(typicalSounds(randomFor(1, 'calibration sounds')).map(encode), 1)
  const { mean, variance } = tf.moments(latents, [0, 1])
  replaceValues(tensors, 'audio_vae.per_channel_statistics.mean-of-means', mean.dataSync<'float32'>())
  replaceValues(tensors, 'audio_vae.per_channel_statistics.std-of-means', tf.sqrt(variance).dataSync<'float32'>())
}

/** Sets the levels of both generators so that random latents decode to audible sound that does not clip. */
export function calibrateLoudness(tensors: Tensors, metadata: Metadata) {
  setRms(tensors, metadata, 'vocoder.vocoder', 'wave16k', 0.1)
  setRms(tensors, metadata, 'vocoder.bwe_generator', 'residual', 0.02)
}

/** Scales the last layer of a generator so that the output of this stage has this root mean square. */
function setRms(tensors: Tensors, metadata: Metadata, generator: string, stage: string, rms: number) {
  const kernel = `${generator}.conv_post.weight`
  const scale = (factor: number) => {
    const scaled = valuesOf(tensors, kernel).map((tap) => tap * factor)
    replaceValues(tensors, kernel, scaled)
  }
  scale(1e-3) // far below ±1, so that clipping does not distort the measurement
  const { decode } = load(tensors, metadata)
  const latents = tf.tensor4d(normals(randomFor(1, 'calibration latents'), 8 * 25 * 16), [1, 8, 25, 16])
  decode(latents, (name, x) => {
    if (name === stage) scale(rms / Math.sqrt(tf.mean(tf.square(x)).dataSync()[0] as number))
  })
}

function load(tensors: Tensors, metadata: Metadata) {
  const checkpoint = asCheckpoint(tensors, metadata)
  const { audioVae, vocoder: vocoderWeights } = ltxComponents(checkpoint)
  const config = readModelConfig(checkpoint)
  const vae = loadAudioVae(audioVae, config.audio_vae)
  const vocoder = loadVocoder(vocoderWeights, config.vocoder as VocoderConfig)
  return {
    encode: (sound: Waveform) => {
      return patchify(encodeMel(vae, melTensor(logMel(sound, melOptionsOf(config.audio_vae)))))
    },
    decode: (latents: tf.Tensor4D, onStage: (name: string, x: tf.Tensor) => void) =>
      vocodeBatch(vocoder, decodeLatents(vae, latents), onStage),
  }
}
