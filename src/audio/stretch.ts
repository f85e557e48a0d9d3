/** Time-stretching with pitch kept: ffmpeg's `rubberband` where it is built in, else `atempo`. */
import { asFloatWav } from './decode.ts'
import { findFfmpeg, runFfmpeg } from './ffmpeg.ts'
import { decodeWav, encodeWav } from './wav.ts'
import { sampleCount, type Waveform } from './waveform.ts'

export type StretchFilter = 'rubberband' | 'atempo'

/** Both filters swallow what begins within the first milliseconds and drop the last tenth of a second: silence takes the blow. */
const leadSeconds = 0.25
const tailSeconds = 0.5

/**
 * The same sound at the same pitch, exactly `samples` long. Nothing is padded: the silence added around the input is cut off
 * again. Events keep their place within 5 ms (rubberband) or come up to 20 ms early (atempo, by the width of its windows).
 */
export async function stretchTo(waveform: Waveform, samples: number, filter?: StretchFilter): Promise<Waveform> {
  const factor = samples / sampleCount(waveform)
  if (factor === 1) return waveform
  const lead = Math.round(leadSeconds * waveform.sampleRate)
  const tail = Math.round(tailSeconds * waveform.sampleRate)
  const stretched = await runFilter(surroundWithSilence(waveform, lead, tail), await filterFor(1 / factor, filter))
  const start = Math.round(lead * factor)
  const channels = stretched.channels.map((channel) => channel.slice(start, start + samples))
  if (channels.some(({ length }) => length !== samples)) throw new Error(`ffmpeg stretched ${factor}: too few samples`)
  return { sampleRate: waveform.sampleRate, channels }
}

async function filterFor(tempo: number, filter?: StretchFilter): Promise<string> {
  const { filters } = await findFfmpeg()
  const chosen = filter ?? (filters.has('rubberband') ? 'rubberband' : 'atempo')
  return chosen === 'rubberband' ? `rubberband=tempo=${tempo}:channels=together` : `atempo=${tempo}`
}

async function runFilter(waveform: Waveform, filter: string): Promise<Waveform> {
  const pieces: Uint8Array[] = []
  await runFfmpeg(['-f', 'wav', '-i', 'pipe:0', '-af', filter, ...asFloatWav], {
    input: encodeWav(waveform, { format: 'float32' }),
    onOutput: (bytes) => pieces.push(bytes),
  })
  return decodeWav(Buffer.concat(pieces))
}

const surroundWithSilence = ({ sampleRate, channels }: Waveform, before: number, after: number): Waveform => ({
  sampleRate,
  channels: channels.map((channel) => {
    const longer = new Float32Array(before + channel.length + after)
    longer.set(channel, before)
    return longer
  }),
})
