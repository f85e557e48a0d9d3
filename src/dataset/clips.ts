/** Fitted clips: two channels, 16 kHz, exactly as long as their bucket. */
import pLimit from 'p-limit'
import { decodeAudio } from '../audio/decode.ts'
import { resample } from '../audio/resample.ts'
import { stretchTo } from '../audio/stretch.ts'
import { durationOf, firstSamples, normalizePeak, sampleCount, toStereo, type Waveform } from '../audio/waveform.ts'
import { UserError } from '../platform/errors.ts'
import type { DatasetOptions } from './dataset.ts'
import { type SideFit, stretchLimit } from './fit-plan.ts'
import type { DatasetPair } from './pair-inspection.ts'
import type { Source } from './source.ts'

/** A pair ready to be encoded: both waveforms stereo, 16 kHz, `int(seconds · 16000)` samples. */
export type FittedPair = { name: string; caption: string; reference: Waveform; target: Waveform }

/** The rate of the audio VAE. */
export const clipRate = 16_000

/** ffmpeg counts in its own units; a second more than needed is decoded, so that our trim alone decides. */
const spareSeconds = 1

/** A reference clip needs more than half a window of the mel front end; this is the next round number. */
const shortestReferenceSeconds = 0.1

/** Both sides are decoded at once. */
const limit = pLimit(2)

/** Carries out the plan of a pair that `inspectDataset` found usable, in a source that is still open. */
export async function fitPair(
  source: Source,
  { name, caption, plan, reference, target }: DatasetPair,
  { seconds, normalize }: DatasetOptions,
): Promise<FittedPair> {
  if (!plan.use) throw new Error(`pair ${name} is not used: ${plan.reason}`)
  const fit = (path: string, side: SideFit) =>
    limit(() => source.withFile(path, (file) => fitFile(file, side, { name: path, seconds, normalize })))
  const sides = [fit(reference.path, plan.reference), fit(target.path, plan.target)] as const
  const [fittedReference, fittedTarget] = await Promise.all(sides)
  return { name, caption, reference: fittedReference, target: fittedTarget }
}

/**
 * A single clip for a preview to start from: at most the first `seconds` of a file, stereo, 16 kHz; a shorter one stays shorter.
 * @throws UserError when the file cannot be read or is shorter than 0.1 s.
 */
export async function fitReference(
  path: string,
  seconds: number,
  { normalize = false }: { normalize?: boolean } = {},
): Promise<Waveform> {
  const decoded = toStereo(await decodeAudio(path, { maxSeconds: seconds + spareSeconds }))
  if (durationOf(decoded) < shortestReferenceSeconds)
    throw new UserError(`${path} has only ${durationOf(decoded).toFixed(3)} s`, {
      hint: `a reference needs at least ${shortestReferenceSeconds} s`,
    })
  const clip = resample(trim(decoded, seconds), clipRate)
  return normalize ? normalizePeak(clip) : clip
}

/** Trimmed and stretched at the source's own rate, as the reference trims, then resampled; the peak is measured last. */
async function fitFile(
  file: string,
  fit: SideFit,
  { name, seconds, normalize }: { name: string; seconds: number; normalize: boolean },
): Promise<Waveform> {
  const decoded = toStereo(await decodeAudio(file, { name, maxSeconds: seconds * stretchLimit + spareSeconds }))
  const fitted = fit.how === 'stretch' ? await stretch(decoded, seconds) : trim(decoded, seconds)
  const clip = exactly(Math.floor(seconds * clipRate), resample(fitted, clipRate))
  return normalize ? normalizePeak(clip) : clip
}

const trim = (waveform: Waveform, seconds: number) => firstSamples(waveform, Math.floor(seconds * waveform.sampleRate))

const stretch = (waveform: Waveform, seconds: number) => stretchTo(waveform, Math.floor(seconds * waveform.sampleRate))

/** Whole samples at one rate are not whole samples at another: one comes off, or, below 16 kHz, up to 16000 / rate come on. */
function exactly(samples: number, { sampleRate, channels }: Waveform): Waveform {
  const missing = samples - sampleCount({ sampleRate, channels })
  if (missing > 16) throw new Error(`a fitted clip lacks ${missing} of ${samples} samples`)
  const resized = channels.map((channel) => {
    const exact = new Float32Array(samples)
    exact.set(channel.subarray(0, samples))
    return exact
  })
  return { sampleRate, channels: resized }
}
