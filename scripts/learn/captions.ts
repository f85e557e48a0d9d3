/** What the base reads while it learns: who is heard, and what happened to them. */
import { type Random, randomFor } from '../../src/platform/random.ts'
import { choose } from '../synth/sound.ts'

const heard = [
  ...['a voice says something', 'somebody sings', 'a guitar', 'strings', 'drums', 'a bell', 'a flute', 'a sound'],
]

/** One of a few hundred sentences; a twelfth of them empty, a sixth without the sound. */
export function captionFor(change: string, number: number): string {
  const random: Random = randomFor(5, 'caption', number)
  const luck = random.uniform()
  if (luck < 1 / 12) return ''
  if (luck < 1 / 4) return change
  return `${choose(random, heard)}, ${change}`
}
