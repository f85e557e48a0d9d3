/** Counts how often training decodes its recordings, with a wrapper around ffmpeg. */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { findFfmpeg } from '../../src/audio/ffmpeg.ts'
import { performance, radio } from '../audio/analysis/sounds.ts'
import { writeWav } from '../audio/signals.ts'
import { ltxA2a } from '../cli/bin.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-decoding-'))
afterAll(() => rmSync(folder, { recursive: true }))

it('a training run decodes each of its recordings once', async () => {
  const { path: ffmpeg } = await findFfmpeg()
  const log = join(folder, 'runs.txt')
  const wrapper = join(folder, 'ffmpeg')
  writeFileSync(wrapper, `#!/bin/sh\nprintf '%s\\n' "$*" >> '${log}'\nexec '${ffmpeg}' "$@"\n`)
  chmodSync(wrapper, 0o755)
  const pairs = join(folder, 'pairs')
  mkdirSync(pairs)
  const recordings = [1, 2].flatMap((seed) => {
    const reference = performance(seed, { seconds: 0.6 })
    return [
      writeWav(join(pairs, `take${seed}_start.wav`), reference),
      writeWav(join(pairs, `take${seed}_end.wav`), radio(reference)),
    ]
  })
  const size = ['--audio-duration-seconds', '0.5', '--rank', '8', '--number-of-steps', '1']
  const args = ['train', '--data', pairs, ...size, '--preview-interval', '0', '--backend', 'wasm']
  const env = { FFMPEG_PATH: wrapper, LTX_A2A_CACHE: join(folder, 'cache') }
  const { code, stderr } = await ltxA2a([...args, '--out', join(folder, 'run')], { env })
  expect(code, stderr).toBe(0)
  const runs = readFileSync(log, 'utf8').split('\n')
  const timesDecoded = recordings.map((path) => runs.filter((line) => line.includes(`file:${path} `)).length)
  expect(timesDecoded).toEqual([1, 1, 1, 1])
})
