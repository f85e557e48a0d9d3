/** The steps of an effect, each from one sound file to the next, so that a recording need not be in memory. */
import type { Limits } from '../../config/limits.ts'
import { UserError } from '../../platform/errors.ts'
import { isDiskFull } from '../../platform/files.ts'
import { randomFor, uniforms } from '../../platform/random.ts'
import { makeTempFolder, noTempRoom, type TempFolder } from '../../platform/temp-folder.ts'
import { bestPeak, crossCorrelation } from '../analysis/correlation.ts'
import { createFrameJoiner, type DecodeOptions, measureAudio, type OnSamples } from '../decode.ts'
import { lacksEncoder } from '../encode.ts'
import { runFfmpeg } from '../ffmpeg.ts'
import { createPositionReader } from '../interpolate.ts'
import { createWavWriter, type WavWriter } from '../wav-writer.ts'
import { concatenateSamples, fromDbfs } from '../waveform.ts'

/** What a step knows about its input. `rms` is that of all channels. */
export type SoundLevel = { sampleRate: number; channelCount: number; frames: number; peak: number; rms: number }

/** Changes interleaved samples block by block; whole frames go in and come out. */
export type BlockProcessor = {
  add(block: Float32Array): Float32Array
  /** What is left at the end. */
  end?(): Float32Array
}

export type Stage =
  /** A filter graph of ffmpeg with one input and one output. */
  | { kind: 'filter'; graph: string }
  /** Encoded and decoded again. `rate` is that of the codec where it is not that of the recording. */
  | { kind: 'codec'; extension: string; encoder: readonly string[]; rate?: number }
  | { kind: 'process'; create(sound: SoundLevel): BlockProcessor }

/** A wav file of floats. */
export type SoundFile = { path: string; level: SoundLevel }

export type StageOptions = {
  folder: TempFolder
  /** What the sound is called in messages. */
  name: string
  limits?: Limits | undefined
  /** Stops the work. */
  signal?: AbortSignal | undefined
}

/**
 * Applies the steps one after the other. The result can have another length: filters add tails and codecs fill their last block.
 * Of the output of a filter graph, which may be endless, at most `longestTail` seconds more than the input are used.
 * @throws FfmpegError for what ffmpeg refuses; FfmpegTimeout; UserError for samples that are no numbers and a full disk; Interrupted.
 */
export async function runStages(sound: SoundFile, stages: readonly Stage[], options: StageOptions): Promise<SoundFile> {
  let current = sound
  for (const stage of stages) current = await runStage(current, stage, options)
  return current
}

async function runStage(sound: SoundFile, stage: Stage, options: StageOptions): Promise<SoundFile> {
  const { level } = sound
  const output = options.folder.newFile('.wav')
  let frames = 0
  const writer = createWavWriter(output, level, 'float32')
  const write = (block: Float32Array) => {
    frames += block.length / level.channelCount
    writer.write(block)
  }
  try {
    if (stage.kind === 'process') {
      const processor = stage.create(level)
      const onSamples = (block: Float32Array) => write(processor.add(block))
      await measureAudio(sound.path, { ...decodeOptions(options), onSamples })
      if (processor.end) write(processor.end())
    } else if (stage.kind === 'filter') {
      const longest = level.frames / level.sampleRate + longestTail
      const filtered = [...wavInput, sound.path, '-af', stage.graph, '-t', String(longest)]
      await streamFfmpeg(filtered, level, write, options)
    } else {
      const positions = { start: await codecDelay(stage, level.sampleRate), step: 1, length: level.frames }
      const reader = createPositionReader(positions, level.channelCount)
      await codeAndDecode(sound, stage, (block) => write(reader.add(block)), options)
      write(reader.end())
    }
  } finally {
    writer.close()
  }
  if (frames === 0) return { path: output, level: { ...level, frames, peak: 0, rms: 0 } }
  return { path: output, level: await measureLevel(output, options) }
}

/** In seconds. */
export const longestTail = 1

const decodeOptions = ({
  name,
  limits,
  signal,
}: Omit<StageOptions, 'folder'>): DecodeOptions & { headSeconds: number } => ({
  headSeconds: 0,
  name,
  limits,
  signal,
})

/** Runs ffmpeg, and passes its output on with the rate and the channels of `level`, whole frames at a time. Nothing of it is on the disk. */
async function streamFfmpeg(
  args: readonly string[],
  { sampleRate, channelCount }: SoundLevel,
  onSamples: (block: Float32Array) => void,
  { limits, signal }: Pick<StageOptions, 'limits' | 'signal'>,
) {
  const wholeFrames = createFrameJoiner(channelCount)
  const output = ['-ar', String(sampleRate), '-ac', String(channelCount), '-c:a', 'pcm_f32le', '-f', 'f32le', 'pipe:1']
  await runFfmpeg([...args, ...output], { limits, signal, onOutput: (bytes) => onSamples(wholeFrames(bytes)) })
}

/** ffmpeg opens no other file for a wav file, and no connection. */
const wavInput = ['-protocol_whitelist', 'file,pipe', '-f', 'wav', '-i'] as const

/** Codecs clip what is above full scale, and their filters overshoot. */
const codecPeak = fromDbfs(-3)

async function codeAndDecode(
  { path, level }: SoundFile,
  { extension, encoder, rate }: Stage & { kind: 'codec' },
  onSamples: (block: Float32Array) => void,
  { folder, limits, signal }: Omit<StageOptions, 'name'>,
) {
  const coded = folder.newFile(extension)
  const gain = level.peak > 0 ? codecPeak / level.peak : 1
  const atRate = rate === undefined ? [] : ['-ar', String(rate)]
  const encode = [...wavInput, path, '-af', `volume=${gain}`, ...atRate, ...encoder, '-bitexact', coded]
  await runFfmpeg(encode, { limits, signal }).catch((cause) => {
    throw isDiskFull(cause) ? noTempRoom(cause) : cause
  })
  await streamFfmpeg(['-i', coded, '-af', `volume=${1 / gain}`], level, onSamples, { limits, signal })
}

const delays = new Map<string, Promise<number>>()

/** Searched, in seconds: more than the 1105 samples of mp3 encoders, and their decoders. */
const longestDelay = 0.15

/**
 * How many samples later a sound comes out of a codec. Mostly 0, because files state the delay of their encoder, but neither every ffmpeg writes it nor
 * every one reads it. It is measured with a second of noise, once per codec and rate.
 * @throws UserError where this ffmpeg lacks the encoder.
 */
function codecDelay(stage: Stage & { kind: 'codec' }, sampleRate: number): Promise<number> {
  const key = JSON.stringify([process.env.FFMPEG_PATH, stage, sampleRate])
  const known = delays.get(key)
  if (known) return known
  const measured = measureDelay(stage, sampleRate)
  delays.set(key, measured)
  measured.catch(() => delays.delete(key))
  return measured
}

async function measureDelay(stage: Stage & { kind: 'codec' }, sampleRate: number): Promise<number> {
  const folder = await makeTempFolder()
  try {
    const noise = uniforms(randomFor(0, 'codec delay'), sampleRate, -0.5, 0.5)
    const path = folder.newFile('.wav')
    const writer = createWavWriter(path, { sampleRate, channelCount: 1 }, 'float32')
    try {
      writer.write(noise)
    } finally {
      writer.close()
    }
    const sound = { path, level: await measureLevel(path, { name: 'noise' }) }
    const blocks: Float32Array[] = []
    await codeAndDecode(sound, stage, (block) => blocks.push(block), { folder })
    const maxLag = Math.round(longestDelay * sampleRate)
    return Math.round(bestPeak(crossCorrelation(noise, concatenateSamples(blocks), { maxLag }), 1).lag)
  } catch (cause) {
    if (!lacksEncoder(cause)) throw cause
    throw new UserError(`this ffmpeg cannot write ${stage.extension} files`, {
      hint: 'use another effect, or set FFMPEG_PATH to another ffmpeg',
      cause,
    })
  } finally {
    await folder.remove()
  }
}

/**
 * Decodes any file into a wav file of floats.
 * @param convert changes each block, for example the number of its channels.
 * @throws as `decodeAudio` does, and UserError for a full disk.
 */
export async function decodeToFile(
  file: string,
  { convert, ...options }: StageOptions & { convert: Convert },
): Promise<SoundFile> {
  const path = options.folder.newFile('.wav')
  let writer: WavWriter | undefined
  try {
    const onSamples: OnSamples = (block, format) => {
      const converted = convert(block, format)
      writer ??= createWavWriter(path, { ...format, channelCount: converted.channelCount }, 'float32')
      writer.write(converted.samples)
    }
    await measureAudio(file, { ...decodeOptions(options), onSamples })
  } finally {
    writer?.close()
  }
  return { path, level: await measureLevel(path, options) }
}

export type Convert = (...input: Parameters<OnSamples>) => { samples: Float32Array; channelCount: number }

async function measureLevel(path: string, options: Omit<StageOptions, 'folder'>): Promise<SoundLevel> {
  let [power, values] = [0, 0]
  const { peak, sampleRate, channelCount } = await measureAudio(path, {
    ...decodeOptions(options),
    onSamples: (block) => {
      for (const sample of block) power += sample * sample
      values += block.length
    },
  })
  return { sampleRate, channelCount, frames: values / channelCount, peak, rms: Math.sqrt(power / Math.max(1, values)) }
}
