/** The captions of the training pairs: what makes the sound, and the effect. */
import { type Random, randomFor } from '../../src/platform/random.ts'
import { choose } from '../synth/sound.ts'

const sources = [
  ...['a voice says something', 'somebody sings', 'a guitar', 'strings', 'drums', 'a bell', 'a flute', 'a sound'],
]

/** One of a few hundred captions: 1/12 are empty, 1/6 describe the effect only. */
export function captionFor(effect: string, number: number): string {
  const random: Random = randomFor(5, 'caption', number)
  const draw = random.uniform()
  if (draw < 1 / 12) return ''
  if (draw < 1 / 4) return effect
  return `${choose(random, sources)}, ${effect}`
}
