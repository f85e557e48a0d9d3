/** The training clips of the base: synthesized instruments, voices and noises with random level, room, stereo image and noise floor, at 16 kHz. */
import { resample } from '../../src/audio/resample.ts'
import type { Waveform } from '../../src/audio/waveform.ts'
import { type Random, randomFor } from '../../src/platform/random.ts'
import { bellStrokes, glockenspielMelody, marimbaMelody } from '../synth/bells.ts'
import { drumPattern } from '../synth/drums.ts'
import { biquadFilter } from '../synth/filter.ts'
import { rain, sweep, wind } from '../synth/noises.ts'
import {
  choose,
  mixInto,
  type Sound,
  type SoundGenerator,
  sampleRate,
  scaleToPeak,
  silence,
  uniformBetween,
} from '../synth/sound.ts'
import { placeInStereo } from '../synth/stereo.ts'
import { bowedNotes, pluckedMelody, strummedChords } from '../synth/strings.ts'
import { humming, singing, speech } from '../synth/voices.ts'
import { fluteMelody } from '../synth/winds.ts'

export const modelSampleRate = 16_000
export const clipSeconds = 2.4

/** Some occur twice, so they are drawn twice as often. */
const generators: SoundGenerator[] = [
  ...[
    speech,
    speech,
    singing,
    humming,
    pluckedMelody,
    pluckedMelody,
    strummedChords,
    bowedNotes,
    drumPattern,
    drumPattern,
  ],
  ...[bellStrokes, glockenspielMelody, marimbaMelody, fluteMelody, wind, rain, sweep],
]

/** Clip `number` of the corpus, the same every time. A fifth are two sounds at once. */
export function synthesizeClip(seed: number, number: number): Waveform {
  const random = randomFor(seed, 'performance', number)
  const first = choose(random, generators)(random, clipSeconds).sound
  const sound =
    random.uniform() < 0.2 ? mixEqually(first, choose(random, generators)(random, clipSeconds).sound) : first
  const dry = scaleToPeak(biquadFilter(sound, 'highpass', 25), uniformBetween(random, 0.15, 0.9))
  const channels = random.uniform() < 0.5 ? [dry, dry] : placeInStereo(random, dry)
  const stereo = channels.map((channel) => Float32Array.from(withNoiseFloor(random, channel)))
  return resample({ sampleRate, channels: stereo }, modelSampleRate)
}

function mixEqually(a: Sound, b: Sound): Sound {
  const both = silence(clipSeconds)
  for (const sound of [a, b]) mixInto(both, scaleToPeak(sound, 0.5), 0)
  return both
}

/** Adds noise of a random level from −100 to −40 dB. */
function withNoiseFloor(random: Random, sound: Sound): Sound {
  const level = 10 ** uniformBetween(random, -5, -2)
  return sound.map((x) => x + level * random.normal())
}
