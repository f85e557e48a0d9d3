import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { createLoudnessMeter } from '../../../src/audio/analysis/loudness.ts'
import { runFfmpeg } from '../../../src/audio/ffmpeg.ts'
import { interleave, type Waveform } from '../../../src/audio/waveform.ts'
import { tone, writeWav } from '../signals.ts'
import { louder, noise, performance } from './sounds.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-test-'))
afterAll(() => rmSync(folder, { recursive: true }))

function loudnessOf(waveform: Waveform, blockFrames = 1000): number | null {
  const channelCount = waveform.channels.length
  const meter = createLoudnessMeter({ sampleRate: waveform.sampleRate, channelCount })
  const samples = interleave(waveform)
  for (let at = 0; at < samples.length; at += blockFrames * channelCount)
    meter.add(samples.subarray(at, at + blockFrames * channelCount))
  return meter.integrated()
}

/** The last integrated loudness that the ebur128 filter of ffmpeg prints. */
async function ffmpegLoudness(waveform: Waveform): Promise<number> {
  const path = writeWav(join(folder, 'sound.wav'), waveform, 'float32')
  let printed = ''
  await runFfmpeg(['-i', path, '-af', 'ebur128=metadata=1,ametadata=mode=print:file=-', '-f', 'null', '-'], {
    onOutput: (bytes) => {
      printed += Buffer.from(bytes).toString()
    },
  })
  return Number([...printed.matchAll(/lavfi\.r128\.I=(\S+)/g)].at(-1)?.[1])
}

const joined = (...parts: Waveform[]): Waveform => ({
  sampleRate: (parts[0] as Waveform).sampleRate,
  channels: [Float32Array.from(parts.flatMap(({ channels }) => [...(channels[0] as Float32Array)]))],
})

describe('the measured loudness agrees with ffmpeg within 0.2 LU for', () => {
  const music = performance(1, { seconds: 5, sampleRate: 48_000 })
  const cases: [what: string, waveform: Waveform][] = [
    ['a stereo tone', tone(3, { sampleRate: 48_000, level: 0.1 })],
    ['a low tone', tone(3, { hertz: 50, channels: 1 })],
    ['a high tone at 44.1 kHz', tone(3, { hertz: 9000, channels: 1 })],
    ['noise in mono', noise(1, { seconds: 4, sampleRate: 44_100 })],
    ['noise in 5.1', noise(2, { seconds: 4, sampleRate: 48_000, channels: 6 })],
    ['music', music],
    ['music at 16 kHz', performance(2, { seconds: 5 })],
    ['music at 22.05 kHz', performance(3, { seconds: 5, sampleRate: 22_050 })],
    ['music with a long pause', joined(music, louder(music, 0), louder(music, 0.001))],
    ['loud after quiet', joined(louder(music, 0.05), music)],
  ]
  test.each(cases)('%s', async (_, waveform) => {
    const expected = await ffmpegLoudness(waveform)
    expect(expected).toBeGreaterThan(-60)
    expect(Math.abs((loudnessOf(waveform) ?? Number.NaN) - expected)).toBeLessThan(0.2)
  })
})

test('a full-scale 997 Hz tone in one channel has −3.01 LUFS, as the standard specifies', () => {
  expect(loudnessOf(tone(2, { sampleRate: 48_000, hertz: 997, channels: 1, level: 1 }))).toBeCloseTo(-3.01, 1)
})

test('the loudness does not depend on the block size', () => {
  const music = performance(1, { sampleRate: 44_100 })
  expect(loudnessOf(music, 7)).toBe(loudnessOf(music, 44_100))
})

test('silence and sounds shorter than 400 ms have no loudness', () => {
  expect(loudnessOf(tone(2, { level: 0 }))).toBeNull()
  expect(loudnessOf(tone(0.39))).toBeNull()
  expect(loudnessOf(tone(0.41))).not.toBeNull()
})

test.each([8, 1000, 3000])('a sample rate of %d Hz has no loudness, rather than NaN or 1275 LUFS', (sampleRate) => {
  expect(loudnessOf(tone(4, { sampleRate, hertz: sampleRate / 10 }))).toBeNull()
})
