/** Magnitude spectra with a given mel spectrogram. There are many: the filterbank has no inverse. */
import { type MelOptions, melFilterbank, sparseFilters } from './mel.ts'

export type MelInversion = {
  /**
   * One Richardson–Lucy step, s ← s · Fᵀ(m / F·s) / Fᵀ·1, for every frame: the mel spectrogram of the magnitudes comes nearer to the given one, and they
   * stay positive. Bins without a filter, 0 Hz and half the sample rate, become silent.
   * @param magnitudes row-major `[frames, nFft / 2 + 1]`, changed in place. @param mel magnitudes, not logarithms, `[frames, melBins]`.
   */
  approach(magnitudes: Float32Array, mel: Float32Array): void
}

/** Smaller magnitudes cannot grow again by multiplication. */
const smallest = 1e-9

export function createMelInversion(options: MelOptions): MelInversion {
  const filters = sparseFilters(melFilterbank(options), options.melBins)
  const bins = options.nFft / 2 + 1
  const gain = new Float64Array(bins) // Fᵀ·1
  for (const { firstBin, weights } of filters)
    for (let i = 0; i < weights.length; i++)
      gain[firstBin + i] = (gain[firstBin + i] as number) + (weights[i] as number)
  const spectrum = new Float64Array(bins)
  const update = new Float64Array(bins)

  function approachFrame(mel: Float32Array) {
    update.fill(0)
    for (let band = 0; band < filters.length; band++) {
      const { firstBin, weights } = filters[band] as (typeof filters)[number]
      let sum = 0
      for (let i = 0; i < weights.length; i++) sum += (weights[i] as number) * (spectrum[firstBin + i] as number)
      const ratio = (mel[band] as number) / sum
      for (let i = 0; i < weights.length; i++)
        update[firstBin + i] = (update[firstBin + i] as number) + (weights[i] as number) * ratio
    }
    for (let bin = 0; bin < bins; bin++) {
      const total = gain[bin] as number
      spectrum[bin] = total > 0 ? ((spectrum[bin] as number) * (update[bin] as number)) / total : 0
    }
  }

  return {
    approach: (magnitudes, mel) => {
      for (let frame = 0; frame * bins < magnitudes.length; frame++) {
        const at = frame * bins
        for (let bin = 0; bin < bins; bin++) spectrum[bin] = Math.max(smallest, magnitudes[at + bin] as number)
        approachFrame(mel.subarray(frame * filters.length, (frame + 1) * filters.length))
        magnitudes.set(spectrum, at)
      }
    },
  }
}
