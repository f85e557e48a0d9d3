/**
 * Sample-rate conversion by a windowed sinc: the filter of `torchaudio.functional.resample` with its default settings, so that
 * our latents equal those of the reference trainer. The taps are evaluated in float64: the library evaluates them in the
 * waveform's float32, which costs it up to 2e-5.
 */
import type { Waveform } from './waveform.ts'

/** Zero crossings of the sinc on each side. */
const lowpassWidth = 6
/** The cutoff as a fraction of the lower rate's half. */
const rolloff = 0.99

/** The same sound at another rate, `ceil(samples · rate / sampleRate)` samples long. */
export function resample(waveform: Waveform, rate: number): Waveform {
  if (waveform.sampleRate === rate) return waveform
  const filter = designFilter(waveform.sampleRate, rate)
  return { sampleRate: rate, channels: waveform.channels.map((channel) => convolve(channel, filter)) }
}

/** `step` input samples become `phases.length` output samples; each of these has its own taps, starting at input `offset`. */
type Filter = { step: number; phases: { offset: number; taps: Float64Array }[] }

function designFilter(from: number, to: number): Filter {
  const divisor = greatestCommonDivisor(from, to)
  const [step, count] = [from / divisor, to / divisor]
  const bandwidth = Math.min(step, count) * rolloff
  const phases = Array.from({ length: count }, (_, phase) => {
    const centre = (phase * step) / count // in input samples, from the start of the step
    const reach = (lowpassWidth * step) / bandwidth // beyond it the window is zero
    const offset = Math.ceil(centre - reach)
    const length = Math.floor(centre + reach) - offset + 1
    const taps = Float64Array.from({ length }, (_, i) => tap((offset + i - centre) / step, bandwidth) / step)
    return { offset, taps }
  })
  return { step, phases }
}

/** Sinc times a Hann window, at a distance in steps. */
function tap(distance: number, bandwidth: number): number {
  const t = Math.max(-lowpassWidth, Math.min(lowpassWidth, distance * bandwidth))
  const window = Math.cos((Math.PI * t) / lowpassWidth / 2) ** 2
  const sinc = t === 0 ? 1 : Math.sin(Math.PI * t) / (Math.PI * t)
  return sinc * window * bandwidth
}

/** What lies before the first and after the last input sample counts as zero. */
function convolve(input: Float32Array, { step, phases }: Filter): Float32Array {
  const output = new Float32Array(Math.ceil((phases.length * input.length) / step))
  phases.forEach(({ offset, taps }, phase) => {
    for (let out = phase, start = offset; out < output.length; out += phases.length, start += step) {
      const end = Math.min(taps.length, input.length - start)
      let sum = 0
      for (let i = Math.max(0, -start); i < end; i++) sum += (taps[i] as number) * (input[start + i] as number)
      output[out] = sum
    }
  })
  return output
}

const greatestCommonDivisor = (a: number, b: number): number => (b === 0 ? a : greatestCommonDivisor(b, a % b))
