/** Where a sound stands between two loudspeakers, and the room around it. */
import type { Random } from '../../src/platform/random.ts'
import { uniformBetween, mixInto, type Sound, sampleRate, silence } from './sound.ts'

/** Left and right: one of them louder, and a few early echoes that differ between them. */
export function placeInStereo(random: Random, sound: Sound): [left: Sound, right: Sound] {
  const angle = uniformBetween(random, 0.15, 0.85) * (Math.PI / 2)
  return [Math.cos(angle), Math.sin(angle)].map((gain) => {
    const side = silence(sound.length / sampleRate)
    mixInto(side, sound, 0, gain)
    for (let echo = 1; echo <= 4; echo++) mixInto(side, sound, echo * uniformBetween(random, 0.007, 0.017), 0.25 / echo)
    return side
  }) as [Sound, Sound]
}
