/** A dataset that trains in seconds: three pairs of 0.6 s of noise, a reference recording for previews, and another dataset of one pair to hold out. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { encodeWav } from '../../src/audio/wav.ts'
import { normals, randomFor } from '../../src/platform/random.ts'

export function writeTinyData(folder: string) {
  mkdirSync(join(folder, 'pairs'), { recursive: true })
  for (const name of ['hiss', 'rush', 'wind']) {
    for (const side of ['start', 'end'])
      writeFileSync(join(folder, 'pairs', `${name}_${side}.wav`), noise(`${name} ${side}`))
    writeFileSync(join(folder, 'pairs', `${name}.txt`), `some ${name}`)
  }
  writeFileSync(join(folder, 'ref.wav'), noise('reference'))
  mkdirSync(join(folder, 'held-out'), { recursive: true })
  for (const side of ['start', 'end'])
    writeFileSync(join(folder, 'held-out', `storm_${side}.wav`), noise(`storm ${side}`))
}

/** The settings of a run on this dataset that takes seconds, as options and as flags. */
export const tinyOptions = { data: 'pairs', audioDurationSeconds: 0.5 }

export const tinyRun = ['--data', 'pairs', '--audio-duration-seconds', '0.5']

export const noise = (name: string, seconds = 0.6) =>
  encodeWav({ sampleRate: 16_000, channels: [normals(randomFor(1, name), seconds * 16_000).map((v) => v / 10)] })
