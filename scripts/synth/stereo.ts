/** From mono to stereo. */
import type { Random } from '../../src/platform/random.ts'
import { mixInto, type Sound, sampleRate, silence, uniformBetween } from './sound.ts'

/** Pans a sound to a random position and adds four early echoes, which differ between the channels. */
export function placeInStereo(random: Random, sound: Sound): [left: Sound, right: Sound] {
  const angle = uniformBetween(random, 0.15, 0.85) * (Math.PI / 2)
  return [Math.cos(angle), Math.sin(angle)].map((gain) => {
    const side = silence(sound.length / sampleRate)
    mixInto(side, sound, 0, gain)
    for (let echo = 1; echo <= 4; echo++) mixInto(side, sound, echo * uniformBetween(random, 0.007, 0.017), 0.25 / echo)
    return side
  }) as [Sound, Sound]
}
