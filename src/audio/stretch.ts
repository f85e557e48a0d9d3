/** Time-stretching that keeps the pitch, with ffmpeg's `rubberband` filter where it is built in, otherwise `atempo`. */
import type { Limits } from '../config/limits.ts'
import { floatWavOutput } from './decode.ts'
import { findFfmpeg, runFfmpeg } from './ffmpeg.ts'
import { decodeWav, encodeWav } from './wav.ts'
import { padWithSilence, sampleCount, type Waveform } from './waveform.ts'

export type StretchFilter = 'rubberband' | 'atempo'

/** Both filters lose sounds that begin within the first milliseconds and drop the last tenth of a second. Silence is added for them to lose. */
const leadSeconds = 0.25
const tailSeconds = 0.5

/**
 * The same sound at the same pitch, exactly `samples` long. The silence that is added around the input is cut off again. Events are moved by at
 * most 5 ms (rubberband), or come up to 20 ms early (atempo, because of the width of its windows).
 */
export async function stretchTo(
  waveform: Waveform,
  samples: number,
  { filter, limits }: { filter?: StretchFilter; limits?: Limits } = {},
): Promise<Waveform> {
  const factor = samples / sampleCount(waveform)
  if (factor === 1) return waveform
  const lead = Math.round(leadSeconds * waveform.sampleRate)
  const tail = Math.round(tailSeconds * waveform.sampleRate)
  const stretched = await runFilter(padWithSilence(waveform, lead, tail), await filterFor(1 / factor, filter), limits)
  const start = Math.round(lead * factor)
  const channels = stretched.channels.map((channel) => channel.slice(start, start + samples))
  if (channels.some(({ length }) => length !== samples))
    throw new Error(`ffmpeg returned fewer than ${samples} samples when stretching by ${factor}`)
  return { sampleRate: waveform.sampleRate, channels }
}

async function filterFor(tempo: number, filter?: StretchFilter): Promise<string> {
  const { filters } = await findFfmpeg()
  const chosen = filter ?? (filters.has('rubberband') ? 'rubberband' : 'atempo')
  return chosen === 'rubberband' ? `rubberband=tempo=${tempo}:channels=together` : `atempo=${tempo}`
}

async function runFilter(waveform: Waveform, filter: string, limits: Limits | undefined): Promise<Waveform> {
  const blocks: Uint8Array[] = []
  await runFfmpeg(['-f', 'wav', '-i', 'pipe:0', '-af', filter, ...floatWavOutput], {
    input: encodeWav(waveform, { format: 'float32' }),
    onOutput: (bytes) => blocks.push(bytes),
    limits,
  })
  return decodeWav(Buffer.concat(blocks))
}
