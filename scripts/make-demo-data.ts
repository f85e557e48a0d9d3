/**
 * Writes fixtures/demo: pairs of synthesised sounds, clean (`_start`) and as an old radio plays them (`_end`), in every format the tool reads, and
 * four pairs that no training hears. The same numbers on every run; the bytes also depend on the ffmpeg that compresses them. With
 * `--stairwell <folder>` the same takes become something else there, to judge the base by what nobody chose it for.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { ZipFile } from 'yazl'
import { runFfmpeg } from '../src/audio/ffmpeg.ts'
import { encodeWav } from '../src/audio/wav.ts'
import type { Waveform } from '../src/audio/waveform.ts'
import { randomFor } from '../src/platform/random.ts'
import { glockenspielMelody, marimbaMelody, bellStrokes } from './synth/bells.ts'
import { drumPattern } from './synth/drums.ts'
import { biquadFilter } from './synth/filter.ts'
import { applyRadio } from './synth/radio.ts'
import { uniformBetween, type SoundGenerator, type Sound, sampleRate, scaleToPeak } from './synth/sound.ts'
import { placeInStereo } from './synth/stage.ts'
import { applyStairwell } from './synth/stairwell.ts'
import { bowedNotes, pluckedMelody, strummedChords } from './synth/strings.ts'
import { humming, singing, speech } from './synth/voices.ts'
import { fluteMelody } from './synth/winds.ts'

const seed = 1929
const { values } = parseArgs({ options: { stairwell: { type: 'string' } } })
const folder = values.stairwell ?? fileURLToPath(new URL('../fixtures/demo', import.meta.url))
const transform = values.stairwell === undefined ? applyRadio : applyStairwell
const words = values.stairwell === undefined ? 'heard through an old radio' : 'heard in the stairwell'

type Take = { player: SoundGenerator; start: string; end: string; stereo?: boolean }

/** Formats and rates as they come in real life; a wav is large, so there are few. An .aac begins late, so it stands on both sides or on none. */
const takes: Record<string, Take> = {
  'voice-1': { player: speech, start: '24000.flac', end: '22050.ogg' },
  'voice-2': { player: speech, start: '44100.m4a', end: '44100.mp3' },
  'voice-3': { player: speech, start: '48000.ogg', end: '48000.ogg', stereo: true },
  'singer-1': { player: singing, start: '32000.mp3', end: '16000.flac' },
  'singer-2': { player: singing, start: '48000.m4a', end: '24000.m4a', stereo: true },
  humming: { player: humming, start: '22050.ogg', end: '22050.ogg' },
  'string-1': { player: pluckedMelody, start: '44100.mp3', end: '44100.ogg', stereo: true },
  'string-2': { player: pluckedMelody, start: '16000.wav', end: '16000.flac' },
  guitar: { player: strummedChords, start: '48000.aac', end: '48000.aac', stereo: true },
  'bowed-1': { player: bowedNotes, start: '44100.ogg', end: '22050.mp3' },
  'bowed-2': { player: bowedNotes, start: '24000.flac', end: '48000.ogg' },
  'drums-1': { player: drumPattern, start: '48000.ogg', end: '48000.m4a', stereo: true },
  'drums-2': { player: drumPattern, start: '32000.mp3', end: '22050.mp3' },
  'drums-3': { player: drumPattern, start: '44100.m4a', end: '24000.flac' },
  bell: { player: bellStrokes, start: '44100.mp3', end: '44100.ogg', stereo: true },
  glockenspiel: { player: glockenspielMelody, start: '48000.ogg', end: '16000.wav' },
  marimba: { player: marimbaMelody, start: '22050.flac', end: '32000.ogg' },
  flute: { player: fluteMelody, start: '44100.ogg', end: '44100.m4a', stereo: true },
}

/** Below is only offset, which no microphone would pass on. */
const lowestHeard = 25

const heldOut: Record<string, SoundGenerator> = { voice: speech, singer: singing, string: pluckedMelody, drums: drumPattern }

/** Encoder settings by extension; everything that would write a date, a version or a random number is off. */
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

async function writePairs() {
  const archive = new ZipFile()
  const add = (name: string, bytes: Uint8Array) =>
    archive.addBuffer(Buffer.from(bytes), name, { mtime: new Date('2025-01-01T00:00:00Z'), forceDosTimestamp: true })
  for (const [name, take] of Object.entries(takes)) {
    const { clean, radio, heard } = perform(name, take)
    add(`${name}_start${extname(take.start)}`, await encoded(clean, take.start))
    add(`${name}_end${extname(take.end)}`, await encoded(radio, take.end))
    add(`${name}.txt`, Buffer.from(`${heard}, ${words}\n`))
  }
  archive.end()
  const chunks: Buffer[] = []
  for await (const chunk of archive.outputStream) chunks.push(Buffer.from(chunk as Uint8Array))
  writeFileSync(join(folder, 'pairs.zip'), Buffer.concat(chunks))
}

async function writeHeldOut() {
  mkdirSync(join(folder, 'held-out'), { recursive: true })
  for (const [name, player] of Object.entries(heldOut)) {
    const { clean, radio } = perform(`held-out ${name}`, { player })
    writeFileSync(join(folder, 'held-out', `${name}_start.flac`), await encoded(clean, '16000.flac'))
    writeFileSync(join(folder, 'held-out', `${name}_end.flac`), await encoded(radio, '16000.flac'))
  }
}

/** A sound and the same sound through the radio, which has one loudspeaker: both its channels are alike. */
function perform(name: string, { player, stereo = false }: Pick<Take, 'player' | 'stereo'>) {
  const seconds = uniformBetween(randomFor(seed, name, 'length'), 2.2, 2.6)
  const { description: heard, sound } = player(randomFor(seed, name, 'player'), seconds)
  const dry = scaleToPeak(biquadFilter(sound, 'highpass', lowestHeard), 0.7)
  const radio = transform(dry, randomFor(seed, name, 'radio'))
  return {
    heard,
    clean: waveform(stereo ? placeInStereo(randomFor(seed, name, 'stage'), dry) : [dry]),
    radio: waveform(stereo ? [radio, radio] : [radio]),
  }
}

function waveform(channels: Sound[]): Waveform {
  return { sampleRate, channels: channels.map((channel) => Float32Array.from(channel)) }
}

/** @param format rate and extension, `24000.flac`. */
async function encoded(sound: Waveform, format: string): Promise<Uint8Array> {
  const extension = extname(format)
  const work = mkdtempSync(join(tmpdir(), 'ltx-a2a-demo-'))
  const [input, output] = [join(work, 'in.wav'), join(work, `out${extension}`)]
  try {
    writeFileSync(input, encodeWav(sound, { format: 'float32' }))
    const exact = ['-fflags', '+bitexact', '-flags:a', '+bitexact', '-map_metadata', '-1']
    const args = [
      '-i',
      input,
      ...exact,
      '-ar',
      format.slice(0, -extension.length),
      ...(codecs[extension] as string[]),
      output,
    ]
    await runFfmpeg(args, { onOutput: () => {} })
    return readFileSync(output)
  } finally {
    rmSync(work, { recursive: true })
  }
}
