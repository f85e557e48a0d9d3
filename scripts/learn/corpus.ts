/** What the learned base hears: performances of every player, in rooms, at levels and in pictures that vary, stereo at the model's rate. */
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

export const modelRate = 16_000
export const clipSeconds = 2.4

/** Voices and plucked strings more often than the rest. */
const players: SoundGenerator[] = [
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

/** Sound number n of the corpus, the same every time. */
export function performance(seed: number, number: number): Waveform {
  const random = randomFor(seed, 'performance', number)
  const first = choose(random, players)(random, clipSeconds).sound
  const sound = random.uniform() < 0.2 ? together(first, choose(random, players)(random, clipSeconds).sound) : first
  const dry = scaleToPeak(biquadFilter(sound, 'highpass', 25), uniformBetween(random, 0.15, 0.9))
  const channels = random.uniform() < 0.5 ? [dry, dry] : placeInStereo(random, dry)
  const wide = channels.map((channel) => Float32Array.from(withFloor(random, channel)))
  return resample({ sampleRate, channels: wide }, modelRate)
}

function together(a: Sound, b: Sound): Sound {
  const both = silence(clipSeconds)
  for (const sound of [a, b]) mixInto(both, scaleToPeak(sound, 0.5), 0)
  return both
}

/** No recording is without noise; how much differs by 60 dB. */
function withFloor(random: Random, sound: Sound): Sound {
  const level = 10 ** uniformBetween(random, -5, -2)
  return sound.map((x) => x + level * random.normal())
}
