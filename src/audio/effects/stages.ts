/** The steps of an effect, each from one sound file to the next, so that a recording need not be in memory. */
import { writeFileSync } from 'node:fs'
import { defaultLimits, type Limits } from '../../config/limits.ts'
import { UserError } from '../../platform/errors.ts'
import { randomFor, uniforms } from '../../platform/random.ts'
import { makeTempFolder, type TempFolder } from '../../platform/temp-folder.ts'
import { bestPeak, crossCorrelation } from '../analysis/correlation.ts'
import { decodeAudio, measureAudio, type OnSamples } from '../decode.ts'
import { lacksEncoder } from '../encode.ts'
import { runFfmpeg } from '../ffmpeg.ts'
import { createPositionReader } from '../interpolate.ts'
import { encodeWav } from '../wav.ts'
import { createWavWriter, type WavWriter } from '../wav-writer.ts'
import { fromDbfs } from '../waveform.ts'

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

export type StageOptions = { folder: TempFolder; limits?: Limits | undefined }

/**
 * Applies the steps one after the other. The result can have another length: filters add tails and codecs fill their last block.
 * @throws UserError for what ffmpeg refuses and for samples that are no numbers.
 */
export async function runStages(sound: SoundFile, stages: readonly Stage[], options: StageOptions): Promise<SoundFile> {
  let current = sound
  for (const stage of stages) current = await runStage(current, stage, options)
  return current
}

async function runStage(sound: SoundFile, stage: Stage, options: StageOptions): Promise<SoundFile> {
  const { folder, limits } = options
  const { sampleRate, channelCount } = sound.level
  const output = folder.newFile('.wav')
  const toOutput = ['-ar', String(sampleRate), '-ac', String(channelCount), '-c:a', 'pcm_f32le', '-bitexact', output]
  if (stage.kind === 'process') {
    await processFile(sound, output, stage.create(sound.level), limits)
  } else if (stage.kind === 'filter') {
    await runFfmpeg([...wavInput, sound.path, '-af', stage.graph, ...toOutput], { limits })
  } else {
    const decoded = await codeAndDecode(sound, stage, options)
    const delay = await codecDelay(stage, sampleRate)
    const positions = { start: delay, step: 1, length: sound.level.frames }
    await processFile({ ...sound, path: decoded }, output, createPositionReader(positions, channelCount), limits)
  }
  return { path: output, level: await measureLevel(output, limits) }
}

/** ffmpeg opens no other file for a wav file, and no connection. */
const wavInput = ['-protocol_whitelist', 'file,pipe', '-f', 'wav', '-i'] as const

/** Codecs clip what is above full scale, and their filters overshoot. */
const codecPeak = fromDbfs(-3)

async function codeAndDecode(
  { path, level }: SoundFile,
  { extension, encoder, rate }: Stage & { kind: 'codec' },
  { folder, limits }: StageOptions,
): Promise<string> {
  const [coded, decoded] = [folder.newFile(extension), folder.newFile('.wav')]
  const gain = level.peak > 0 ? codecPeak / level.peak : 1
  const atRate = rate === undefined ? [] : ['-ar', String(rate)]
  await runFfmpeg([...wavInput, path, '-af', `volume=${gain}`, ...atRate, ...encoder, '-bitexact', coded], { limits })
  const format = ['-ar', String(level.sampleRate), '-ac', String(level.channelCount), '-c:a', 'pcm_f32le', '-bitexact']
  await runFfmpeg(['-i', coded, '-af', `volume=${1 / gain}`, ...format, decoded], { limits })
  return decoded
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
    writeFileSync(path, encodeWav({ sampleRate, channels: [noise] }, { format: 'float32' }))
    const sound = { path, level: await measureLevel(path) }
    const { channels } = await decodeAudio(await codeAndDecode(sound, stage, { folder }))
    const maxLag = Math.round(longestDelay * sampleRate)
    return Math.round(bestPeak(crossCorrelation(noise, channels[0] as Float32Array, { maxLag }), 1).lag)
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

async function processFile(
  { path, level }: SoundFile,
  output: string,
  processor: BlockProcessor,
  limits: Limits | undefined,
): Promise<void> {
  const writer = createWavWriter(output, level, 'float32')
  try {
    await measureAudio(path, { headSeconds: 0, limits, onSamples: (block) => writer.write(processor.add(block)) })
    if (processor.end) writer.write(processor.end())
  } finally {
    writer.close()
  }
}

/**
 * Decodes any file into a wav file of floats.
 * @param convert changes each block, for example the number of its channels.
 * @throws UserError as `decodeAudio` does.
 */
export async function decodeToFile(
  file: string,
  { folder, limits, name, convert }: StageOptions & { name: string; convert: Convert },
): Promise<SoundFile> {
  const path = folder.newFile('.wav')
  let writer: WavWriter | undefined
  try {
    const onSamples: OnSamples = (block, format) => {
      const converted = convert(block, format)
      writer ??= createWavWriter(path, { ...format, channelCount: converted.channelCount }, 'float32')
      writer.write(converted.samples)
    }
    await measureAudio(file, { headSeconds: 0, name, limits, onSamples })
  } finally {
    writer?.close()
  }
  return { path, level: await measureLevel(path, limits) }
}

export type Convert = (...input: Parameters<OnSamples>) => { samples: Float32Array; channelCount: number }

async function measureLevel(path: string, limits: Limits = defaultLimits): Promise<SoundLevel> {
  let [power, values] = [0, 0]
  const { peak, sampleRate, channelCount } = await measureAudio(path, {
    headSeconds: 0,
    limits,
    onSamples: (block) => {
      for (const sample of block) power += sample * sample
      values += block.length
    },
  })
  return { sampleRate, channelCount, frames: values / channelCount, peak, rms: Math.sqrt(power / Math.max(1, values)) }
}
