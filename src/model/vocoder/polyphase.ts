/**
 * Raising the sample rate, taken apart. A transposed convolution of stride u makes, of every input sample, u output samples; each of these u
 * "phases" is an ordinary convolution with every u-th tap of the kernel. So a plain convolution with u times the channels, whose channel groups
 * are then laid end to end in time, is the same thing: two to ten times as fast on the WebAssembly backend, and no transposed convolution is
 * needed at all. Used for the up-convolutions, the anti-aliasing filters and the ×3 resampler alike.
 */
export type Polyphase = {
  /** How many input samples before and after the current one the plain convolution looks at. */
  before: number
  after: number
  /** The kernel tap of each position and phase, `[before + 1 + after, rate]` row by row; the number of taps itself where there is none. */
  taps: number[]
}

export type Upsampling = { taps: number; rate: number; padding: number }

/** Output u · n + phase is the sum over d of x[n + d] · kernel[phase + padding − u · d], as far as there are such taps. */
export function polyphase({ taps, rate, padding }: Upsampling): Polyphase {
  const before = Math.floor((taps - 1 - padding) / rate)
  const after = Math.floor((rate - 1 + padding) / rate)
  const positions = Array.from({ length: before + 1 + after }, (_, i) => i - before)
  const tapAt = (d: number, phase: number) => {
    const tap = phase + padding - rate * d
    return tap >= 0 && tap < taps ? tap : taps
  }
  return { before, after, taps: positions.flatMap((d) => Array.from({ length: rate }, (_, phase) => tapAt(d, phase))) }
}
