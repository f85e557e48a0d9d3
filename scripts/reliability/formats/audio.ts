/** Audio files, decoded completely by ffmpeg as in a dataset. Some inputs are scripts that point to forbidden files. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { measureAudio } from '../../../src/audio/decode.ts'
import { runFfmpeg } from '../../../src/audio/ffmpeg.ts'
import { encodeWav } from '../../../src/audio/wav.ts'
import { mutate, pick, randomInt } from '../mutation.ts'
import { noise } from '../tiny-data.ts'
import type { Format } from './format.ts'
import { scriptInputs } from './script-inputs.ts'

/** Wav files: 16-bit, float, multichannel, and with the extensible header. */
export function wavFormat(forbidden: readonly string[]): Format {
  const sound = (channels: number, format: 'pcm16' | 'float32') =>
    encodeWav(
      { sampleRate: 8000, channels: Array.from({ length: channels }, () => new Float32Array(800).fill(0.1)) },
      { format },
    )
  const seeds = [
    noise('wav', 0.1),
    sound(1, 'pcm16'),
    sound(2, 'float32'),
    sound(6, 'float32'),
    extensible(sound(2, 'pcm16')),
  ]
  return audioFormat(new Map([['wav', seeds]]), forbidden)
}

/** All six formats. */
export async function allAudioFormat(folder: string, forbidden: readonly string[]): Promise<Format> {
  mkdirSync(folder, { recursive: true })
  const wav = join(folder, 'seed.wav')
  writeFileSync(wav, noise('audio', 0.5))
  const seeds = new Map([['wav', [readFileSync(wav)]]])
  const codecs: Record<string, string[]> = {
    flac: [],
    mp3: [],
    ogg: ['-c:a', 'libvorbis'],
    aac: [],
    m4a: ['-c:a', 'aac'],
  }
  for (const [extension, codec] of Object.entries(codecs)) {
    const path = join(folder, `seed.${extension}`)
    await runFfmpeg(['-y', '-i', wav, ...codec, path], { onOutput: () => {} })
    seeds.set(extension, [readFileSync(path)])
  }
  return audioFormat(seeds, forbidden)
}

const script = 'script'

function audioFormat(seeds: ReadonlyMap<string, Uint8Array[]>, forbidden: readonly string[]): Format {
  const all = [...seeds.values()].flat()
  const scripts = forbidden.flatMap(scriptInputs)
  return {
    make: (random) => {
      const extension = pick(random, [...seeds.keys()])
      if (randomInt(random, 20) === 0)
        return { bytes: Buffer.from(pick(random, scripts)), name: `${script}.${extension}` }
      return { bytes: mutate(pick(random, seeds.get(extension) ?? all), random, all), name: `x.${extension}` }
    },
    use: async (path) => {
      await measureAudio(path, { headSeconds: 0.5 })
      if (basename(path).startsWith(script)) throw new Error('a script was decoded as audio')
    },
  }
}

/** The same samples with an extensible header, which names the format by a GUID. */
function extensible(wav: Uint8Array): Uint8Array {
  const rest = Buffer.alloc(24)
  rest.writeUInt16LE(22, 0)
  rest.writeUInt16LE(16, 2)
  rest.writeUInt32LE(3, 4)
  Buffer.from('0100000000001000800000aa00389b71', 'hex').copy(rest, 8)
  const bytes = Buffer.concat([wav.subarray(0, 36), rest, wav.subarray(36)])
  bytes.writeUInt32LE(40, 16)
  bytes.writeUInt16LE(0xfffe, 20)
  return new Uint8Array(bytes)
}
