/** The distance between two sounds as the model's front end represents them. */
import { logMel } from '../../src/audio/mel.ts'
import { resample } from '../../src/audio/resample.ts'
import { sampleCount, type Waveform } from '../../src/audio/waveform.ts'

const sampleRate = 16_000

/** The mean absolute difference of the log-mel spectrograms in nats, level differences included, over the length that both have. */
export function logMelDistance(first: Waveform, second: Waveform): number {
  const [a, b] = [monoLogMel(first), monoLogMel(second)]
  const count = Math.min(a.length, b.length)
  let sum = 0
  for (let i = 0; i < count; i++) sum += Math.abs((a[i] as number) - (b[i] as number))
  return sum / count
}

/** Of the mean of all channels. */
function monoLogMel(waveform: Waveform): Float32Array {
  const mono = new Float32Array(sampleCount(waveform))
  for (const channel of waveform.channels)
    channel.forEach((sample, i) => {
      mono[i] = (mono[i] as number) + sample / waveform.channels.length
    })
  const resampled = resample({ sampleRate: waveform.sampleRate, channels: [mono] }, sampleRate)
  return logMel(resampled, { sampleRate, nFft: 1024, hop: 160, melBins: 64 }).data
}
