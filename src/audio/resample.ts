/**
 * Sample-rate conversion with a windowed sinc: the filter of `torchaudio.functional.resample` with its default settings, so that latents equal those
 * of the reference trainer. The taps are computed in float64; torchaudio computes them in float32, with errors of up to 2e-5.
 */
import { concatenateSamples, type Waveform } from './waveform.ts'

/** Zero crossings of the sinc on each side of its center. */
const lowpassWidth = 6
/** The cutoff frequency, as a fraction of half the lower sample rate. */
const rolloff = 0.99

/** The same sound at another sample rate, `ceil(samples · rate / sampleRate)` samples long. */
export function resample(waveform: Waveform, rate: number): Waveform {
  if (waveform.sampleRate === rate) return waveform
  const filter = designFilter(waveform.sampleRate, rate)
  return { sampleRate: rate, channels: waveform.channels.map((channel) => convolve(channel, filter)) }
}

export type Resampler = {
  /** The samples that can be computed so far. @param block one array per channel, any number of samples. */
  push(block: readonly Float32Array[]): Float32Array[]
  /** The remaining samples. */
  finish(): Float32Array[]
}

/** Resamples a stream. The results together are, to the bit, what `resample` makes of the whole. */
export function openResampler(from: number, to: number, channels: number): Resampler {
  const empty = () => Array.from({ length: channels }, () => new Float32Array())
  if (from === to) return { push: (block) => [...block], finish: empty }
  const filter = designFilter(from, to)
  const { step, phases } = filter
  const reach = phases.reduce((most, { offset, taps }) => Math.max(most, -offset, offset + taps.length), 0)
  const margin = Math.ceil(reach / step) // in steps
  let input: Float32Array[] = empty()
  let context = 0 // the steps at the start of the input whose output is complete
  const complete = (steps: number) => {
    const output = input.map((channel) =>
      convolve(channel, filter).slice(context * phases.length, (context + steps) * phases.length),
    )
    const kept = Math.min(margin, context + steps)
    input = input.map((channel) => channel.slice((context + steps - kept) * step))
    context = kept
    return output
  }
  return {
    push: (block) => {
      input = input.map((channel, c) => concatenateSamples([channel, block[c] as Float32Array]))
      const steps = Math.floor((input[0]?.length ?? 0) / step) - margin - context
      return steps > 0 ? complete(steps) : empty()
    },
    finish: () => complete(Infinity),
  }
}

/** `step` input samples become `phases.length` output samples. Each of these has its own taps, which start at input sample `offset` of the step. */
type Filter = { step: number; phases: { offset: number; taps: Float64Array }[] }

function designFilter(from: number, to: number): Filter {
  const divisor = greatestCommonDivisor(from, to)
  const [step, count] = [from / divisor, to / divisor]
  const bandwidth = Math.min(step, count) * rolloff
  const phases = Array.from({ length: count }, (_, phase) => {
    const center = (phase * step) / count // in input samples, from the start of the step
    const halfWidth = (lowpassWidth * step) / bandwidth // in input samples; the window is zero beyond it
    const offset = Math.ceil(center - halfWidth)
    const length = Math.floor(center + halfWidth) - offset + 1
    const taps = Float64Array.from({ length }, (_, i) => tap((offset + i - center) / step, bandwidth) / step)
    return { offset, taps }
  })
  return { step, phases }
}

/** The sinc times a Hann window, at a distance from its center that is counted in steps. */
function tap(distance: number, bandwidth: number): number {
  const t = Math.max(-lowpassWidth, Math.min(lowpassWidth, distance * bandwidth))
  const window = Math.cos((Math.PI * t) / lowpassWidth / 2) ** 2
  const sinc = t === 0 ? 1 : Math.sin(Math.PI * t) / (Math.PI * t)
  return sinc * window * bandwidth
}

/** Samples before the first and after the last one count as zero. */
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
