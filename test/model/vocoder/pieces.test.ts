import * as tf from '@tensorflow/tfjs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { concatenateWaveforms, type Waveform } from '../../../src/audio/waveform.ts'
import { openSafetensors } from '../../../src/formats/safetensors.ts'
import { readModelConfig, type VocoderConfig } from '../../../src/model/config.ts'
import { vocodeInPieces, vocoderContext } from '../../../src/model/vocoder/pieces.ts'
import { disposeVocoder, loadVocoder, samplesPerMelFrame, type Vocoder } from '../../../src/model/vocoder/vocoder.ts'
import { weightsOf } from '../../../src/model/weights.ts'
import { normals, randomFor } from '../../../src/platform/random.ts'
import { goldenPath, startGoldenBackend } from '../../golden/golden.ts'

const checkpoint = openSafetensors(goldenPath('tiny-ltx-2.3.safetensors'))
const frames = 230
const mel = {
  channels: 2,
  frames,
  melBins: 64,
  data: normals(randomFor(1, 'mel'), 2 * frames * 64).map((value) => value - 4),
}

let vocoder: Vocoder
beforeAll(async () => {
  await startGoldenBackend()
  vocoder = loadVocoder(weightsOf(checkpoint, 'vocoder.'), readModelConfig(checkpoint).vocoder as VocoderConfig)
})
afterAll(() => disposeVocoder(vocoder))

async function vocodeAll(input: typeof mel, length?: number): Promise<Waveform> {
  const pieces: Waveform[] = []
  for await (const piece of vocodeInPieces(vocoder, input, length)) pieces.push(piece)
  return concatenateWaveforms(pieces)
}

describe('a log-mel in pieces', () => {
  it.each([50, 100])('of %i frames becomes the waveform of the whole', async (length) => {
    const before = tf.memory().numTensors
    const [whole, pieces] = [await vocodeAll(mel, frames), await vocodeAll(mel, length)]
    expect(pieces.channels[0]?.length).toBe(frames * samplesPerMelFrame(vocoder))
    const errors = pieces.channels.flatMap((channel, c) =>
      Array.from(channel, (sample, i) => Math.abs(sample - (whole.channels[c]?.[i] as number))),
    )
    expect(errors.reduce((a, b) => Math.max(a, b), 0)).toBeLessThan(1e-6)
    expect(tf.memory().numTensors).toBe(before)
  })

  it('has as much context as a mel frame influences', async () => {
    const changed = { ...mel, data: mel.data.slice() }
    changed.data.fill(2, 115 * 64, 116 * 64)
    const [[a], [b]] = [(await vocodeAll(mel)).channels, (await vocodeAll(changed)).channels] as [
      [Float32Array],
      [Float32Array],
    ]
    const differing = Array.from(a, (_, i) => i).filter((i) => a[i] !== b[i])
    const samples = samplesPerMelFrame(vocoder)
    const [before, after] = [115 - (differing[0] as number) / samples, (differing.at(-1) as number) / samples - 116]
    expect(Math.max(before, after)).toBeLessThanOrEqual(vocoderContext(vocoder))
    expect(Math.max(before, after)).toBeGreaterThan(0.5 * vocoderContext(vocoder))
  })
})
