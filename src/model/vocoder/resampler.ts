/** The resampler beside the bandwidth extension (spec §4.3): a Hann-windowed sinc, the one filter of the vocoder that no checkpoint stores. */
import { type Interpolator, interpolator } from './interpolation.ts'

/** How many zero crossings the sinc has on each side, and how far below the Nyquist frequency it cuts. */
const zeroCrossings = 6
const rolloff = 0.99

/** Reaches this many input samples to each side. */
const reach = Math.ceil(zeroCrossings / rolloff)

/** Raises the sample rate of each channel `rate` times. */
export const resampler = (rate: number, channels: number): Interpolator =>
  interpolator(resamplerTaps(rate), { rate, padding: reach * rate, channels })

export const resamplerTaps = (rate: number): Float32Array =>
  Float32Array.from({ length: 2 * reach * rate + 1 }, (_, i) => {
    const time = (i / rate - reach) * rolloff
    const window = Math.cos((Math.PI * clamp(time, zeroCrossings)) / zeroCrossings / 2) ** 2
    return (sinc(time) * window * rolloff) / rate
  })

const clamp = (x: number, limit: number) => Math.min(Math.max(x, -limit), limit)
const sinc = (x: number) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x))
