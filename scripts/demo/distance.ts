/** How far apart two sounds are to the model's ears. */
import { logMel } from '../../src/audio/mel.ts'
import { resample } from '../../src/audio/resample.ts'
import { sampleCount, type Waveform } from '../../src/audio/waveform.ts'

const rate = 16_000

/** The mean absolute difference of their log-mels in nats, levels included, over the length that both have. */
export function logMelDistance(first: Waveform, second: Waveform): number {
  const [a, b] = [mel(first), mel(second)]
  const cells = Math.min(a.length, b.length)
  let sum = 0
  for (let i = 0; i < cells; i++) sum += Math.abs((a[i] as number) - (b[i] as number))
  return sum / cells
}

/** Of the mean of all channels: what somebody hears who stands between the loudspeakers. */
function mel(waveform: Waveform): Float32Array {
  const middle = new Float32Array(sampleCount(waveform))
  for (const channel of waveform.channels)
    channel.forEach((x, i) => {
      middle[i] = (middle[i] as number) + x / waveform.channels.length
    })
  const mono = resample({ sampleRate: waveform.sampleRate, channels: [middle] }, rate)
  return logMel(mono, { sampleRate: rate, nFft: 1024, hop: 160, melBins: 64 }).data
}
