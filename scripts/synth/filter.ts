/** Second-order filters, from Robert Bristow-Johnson's "Audio EQ Cookbook". */
import { type Sound, sampleRate } from './sound.ts'

export type FilterKind = 'lowpass' | 'highpass' | 'bandpass'

/** @param frequency in hertz, fixed or one value per sample; the coefficients are updated every 32 samples. @param rate the sample rate. */
export function biquadFilter(
  x: Sound,
  kind: FilterKind,
  frequency: number | Sound,
  q = Math.SQRT1_2,
  rate = sampleRate,
): Sound {
  const y = new Float64Array(x.length)
  let [x1, x2, y1, y2] = [0, 0, 0, 0]
  let c = coefficients(kind, typeof frequency === 'number' ? frequency : (frequency[0] as number), q, rate)
  for (let i = 0; i < x.length; i++) {
    if (typeof frequency !== 'number' && i % 32 === 0) c = coefficients(kind, frequency[i] as number, q, rate)
    const x0 = x[i] as number
    const y0 = c.b0 * x0 + c.b1 * x1 + c.b2 * x2 - c.a1 * y1 - c.a2 * y2
    y[i] = y0
    ;[x1, x2, y1, y2] = [x0, x1, y0, y1]
  }
  return y
}

/** The same filter applied several times: each pass adds 12 dB per octave. */
export const cascadedFilter = (x: Sound, kind: FilterKind, frequency: number, passes: number): Sound =>
  Array.from({ length: passes }).reduce<Sound>((y) => biquadFilter(y, kind, frequency), x)

function coefficients(kind: FilterKind, frequency: number, q: number, rate: number) {
  const w = (2 * Math.PI * Math.min(frequency, 0.45 * rate)) / rate
  const cos = Math.cos(w)
  const alpha = Math.sin(w) / (2 * q)
  const a0 = 1 + alpha
  const [b0, b1, b2] = {
    lowpass: [(1 - cos) / 2, 1 - cos, (1 - cos) / 2],
    highpass: [(1 + cos) / 2, -1 - cos, (1 + cos) / 2],
    bandpass: [alpha, 0, -alpha],
  }[kind] as [number, number, number]
  return { b0: b0 / a0, b1: b1 / a0, b2: b2 / a0, a1: (-2 * cos) / a0, a2: (1 - alpha) / a0 }
}
