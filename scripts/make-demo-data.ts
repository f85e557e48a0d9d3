/**
 * Writes fixtures/demo: pairs of synthesized sounds, clean (`_start`) and through an old radio (`_end`), in every format that the tool reads, and
 * four held-out pairs. The samples are the same on every run; the bytes also depend on the ffmpeg that encodes them. `--stairwell <folder>` writes
 * the same sounds with another transformation to that folder, to evaluate the base on a transformation that it was not designed for.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { ZipFile } from 'yazl'
import { runFfmpeg } from '../src/audio/ffmpeg.ts'
import { resample } from '../src/audio/resample.ts'
import { encodeWav } from '../src/audio/wav.ts'
import type { Waveform } from '../src/audio/waveform.ts'
import { type Random, randomFor } from '../src/platform/random.ts'
import { effects } from './demo/held-out.ts'
import { modelSampleRate } from './pretrain/clips.ts'
import { type Effect, hall, telephone } from './pretrain/effects.ts'
import { bellStrokes, glockenspielMelody, marimbaMelody } from './synth/bells.ts'
import { drumPattern } from './synth/drums.ts'
import { biquadFilter } from './synth/filter.ts'
import { applyRadio } from './synth/radio.ts'
import { type Sound, type SoundGenerator, sampleRate, scaleToPeak, uniformBetween } from './synth/sound.ts'
import { applyStairwell } from './synth/stairwell.ts'
import { placeInStereo } from './synth/stereo.ts'
import { bowedNotes, pluckedMelody, strummedChords } from './synth/strings.ts'
import { humming, singing, speech } from './synth/voices.ts'
import { fluteMelody } from './synth/winds.ts'

const seed = 1929
const { values } = parseArgs({ options: { stairwell: { type: 'string' } } })
const isDemo = values.stairwell === undefined
const folder = values.stairwell ?? fileURLToPath(new URL('../fixtures/demo', import.meta.url))

type Transformation = { apply(sound: Sound, random: Random): Sound; caption: string }

const transformations = {
  radio: { apply: applyRadio, caption: effects.radio.caption },
  telephone: known(telephone(1)),
  hall: known(hall(2)),
  stairwell: { apply: applyStairwell, caption: 'in a stairwell' },
} satisfies Record<string, Transformation>

/** An effect that the bundled base was trained on, under its caption. */
function known({ caption, apply }: Effect): Transformation {
  return {
    caption,
    apply: (sound, random) => {
      const clean = resample(waveform([sound]), modelSampleRate)
      const changed = apply(Float64Array.from(clean.channels[0] as Float32Array), random)
      const [samples] = resample({ ...clean, channels: [Float32Array.from(changed)] }, sampleRate).channels
      return scaleToPeak(Float64Array.from(samples as Float32Array), 0.7)
    },
  }
}

type TransformationName = keyof typeof transformations

/** The transformations of the held-out sounds: their targets are `<name>_end`, or `<name>_<transformation>` for those after the first. */
const heldOutTransformations: TransformationName[] = isDemo ? ['radio', 'telephone', 'hall'] : ['stairwell']

/** A pair. `start` and `end` are the sample rate and format of each side. */
type Take = {
  generator: SoundGenerator
  start: string
  end: string
  stereo?: boolean
  /** Without one, that of the dataset: the radio, or the stairwell. */
  transformation?: TransformationName
}

/** A mixture of formats and rates, as in real datasets. Few are wav, which is large. An .aac has a delay at its start, so it is used for both sides. */
const takes: Record<string, Take> = {
  'voice-1': { generator: speech, start: '24000.flac', end: '22050.ogg' },
  'voice-2': { generator: speech, start: '44100.m4a', end: '44100.mp3' },
  'voice-3': { generator: speech, start: '48000.ogg', end: '48000.ogg', stereo: true },
  'singer-1': { generator: singing, start: '32000.mp3', end: '16000.flac' },
  'singer-2': { generator: singing, start: '48000.m4a', end: '24000.m4a', stereo: true },
  humming: { generator: humming, start: '22050.ogg', end: '22050.ogg' },
  'string-1': { generator: pluckedMelody, start: '44100.mp3', end: '44100.ogg', stereo: true },
  'string-2': { generator: pluckedMelody, start: '16000.wav', end: '16000.flac' },
  guitar: { generator: strummedChords, start: '48000.aac', end: '48000.aac', stereo: true },
  'bowed-1': { generator: bowedNotes, start: '44100.ogg', end: '22050.mp3' },
  'bowed-2': { generator: bowedNotes, start: '24000.flac', end: '48000.ogg' },
  'drums-1': { generator: drumPattern, start: '48000.ogg', end: '48000.m4a', stereo: true },
  'drums-2': { generator: drumPattern, start: '32000.mp3', end: '22050.mp3' },
  'drums-3': { generator: drumPattern, start: '44100.m4a', end: '24000.flac' },
  bell: { generator: bellStrokes, start: '44100.mp3', end: '44100.ogg', stereo: true },
  glockenspiel: { generator: glockenspielMelody, start: '48000.ogg', end: '16000.wav' },
  marimba: { generator: marimbaMelody, start: '22050.flac', end: '32000.ogg' },
  flute: { generator: fluteMelody, start: '44100.ogg', end: '44100.m4a', stereo: true },
  ...(isDemo && { ...otherTakes('telephone'), ...otherTakes('hall') }),
}

/** Six sounds with a transformation that the base knows: without them, the LoRA would make a radio of everything, whatever the caption. */
function otherTakes(transformation: TransformationName): Record<string, Take> {
  const generators = {
    voice: speech,
    singer: singing,
    string: pluckedMelody,
    guitar: strummedChords,
    drums: drumPattern,
    flute: fluteMelody,
  }
  return Object.fromEntries(
    Object.entries(generators).map(([name, generator]) => [
      `${name}-${transformation}`,
      { generator, start: '24000.ogg', end: '22050.ogg', transformation },
    ]),
  )
}

/** Removes the offset. */
const highpassHertz = 25

const heldOut: Record<string, SoundGenerator> = {
  voice: speech,
  singer: singing,
  string: pluckedMelody,
  drums: drumPattern,
}

/** Encoder settings by extension. */
const codecs: Record<string, string[]> = {
  '.wav': ['-c:a', 'pcm_s16le'],
  '.flac': ['-c:a', 'flac', '-compression_level', '12', '-sample_fmt', 's16'],
  '.ogg': ['-c:a', 'libvorbis', '-q:a', '2'],
  '.mp3': ['-c:a', 'libmp3lame', '-b:a', '64k'],
  '.m4a': ['-c:a', 'aac', '-b:a', '64k'],
  '.aac': ['-c:a', 'aac', '-b:a', '64k'],
}

mkdirSync(folder, { recursive: true })
await writePairs()
await writeHeldOut()

/** `pairs.zip`. The names of the random sources decide the samples: they must not change. */
async function writePairs() {
  const archive = new ZipFile()
  const add = (name: string, bytes: Uint8Array) =>
    archive.addBuffer(Buffer.from(bytes), name, { mtime: new Date('2025-01-01T00:00:00Z'), forceDosTimestamp: true })
  for (const [name, take] of Object.entries(takes)) {
    const { clean, transformed, caption } = generatePair(name, take)
    add(`${name}_start${extname(take.start)}`, await encoded(clean, take.start))
    add(`${name}_end${extname(take.end)}`, await encoded(transformed, take.end))
    add(`${name}.txt`, Buffer.from(`${caption}\n`))
  }
  archive.end()
  const chunks: Buffer[] = []
  for await (const chunk of archive.outputStream) chunks.push(Buffer.from(chunk as Uint8Array))
  writeFileSync(join(folder, 'pairs.zip'), Buffer.concat(chunks))
}

async function writeHeldOut() {
  mkdirSync(join(folder, 'held-out'), { recursive: true })
  for (const [name, generator] of Object.entries(heldOut)) {
    const write = async (side: string, sound: Waveform) =>
      writeFileSync(join(folder, 'held-out', `${name}_${side}.flac`), await encoded(sound, '16000.flac'))
    for (const [i, transformation] of heldOutTransformations.entries()) {
      const { clean, transformed } = generatePair(`held-out ${name}`, { generator, transformation })
      if (i === 0) await write('start', clean)
      await write(i === 0 ? 'end' : transformation, transformed)
    }
  }
}

/** A sound and the transformed sound. The transformation has one channel, so both channels of a stereo target are equal. */
function generatePair(
  name: string,
  { generator, stereo = false, transformation = heldOutTransformations[0] }: Omit<Take, 'start' | 'end'>,
) {
  const { apply, caption } = transformations[transformation as TransformationName]
  const seconds = uniformBetween(randomFor(seed, name, 'length'), 2.2, 2.6)
  const { description, sound } = generator(randomFor(seed, name, 'player'), seconds)
  const dry = scaleToPeak(biquadFilter(sound, 'highpass', highpassHertz), 0.7)
  const transformed = apply(dry, randomFor(seed, name, 'radio'))
  return {
    caption: `${description}, ${caption}`,
    clean: waveform(stereo ? placeInStereo(randomFor(seed, name, 'stage'), dry) : [dry]),
    transformed: waveform(stereo ? [transformed, transformed] : [transformed]),
  }
}

function waveform(channels: Sound[]): Waveform {
  return { sampleRate, channels: channels.map((channel) => Float32Array.from(channel)) }
}

/** @param format sample rate and extension, such as `24000.flac`. */
async function encoded(sound: Waveform, format: string): Promise<Uint8Array> {
  const extension = extname(format)
  const temporary = mkdtempSync(join(tmpdir(), 'ltx-a2a-demo-'))
  const [input, output] = [join(temporary, 'in.wav'), join(temporary, `out${extension}`)]
  try {
    writeFileSync(input, encodeWav(sound, { format: 'float32' }))
    const reproducible = ['-fflags', '+bitexact', '-flags:a', '+bitexact', '-map_metadata', '-1']
    const args = [
      '-i',
      input,
      ...reproducible, // no dates, versions or random numbers in the file
      '-ar',
      format.slice(0, -extension.length),
      ...(codecs[extension] as string[]),
      output,
    ]
    await runFfmpeg(args, { onOutput: () => {} })
    return readFileSync(output)
  } finally {
    rmSync(temporary, { recursive: true })
  }
}
