import { fromDbfs, peak, silenceCeiling, type Waveform } from './waveform.ts'

/** −1 dBFS: as loud as a clip may be and still leave room for the overshoot of resamplers and lossy coders. */
export const normalPeak = fromDbfs(-1)

/** Scales a clip, all channels by the same gain, so that its peak is −1 dBFS. A silent clip is left as it is. */
export function normalizePeak(waveform: Waveform): Waveform {
  const highest = peak(waveform)
  if (highest <= silenceCeiling) return waveform
  const gain = normalPeak / highest
  return { ...waveform, channels: waveform.channels.map((channel) => channel.map((sample) => sample * gain)) }
}
