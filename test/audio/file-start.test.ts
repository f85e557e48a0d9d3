import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { canBeAudio } from '../../src/audio/file-start.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-test-'))
afterAll(() => rmSync(folder, { recursive: true }))
const save = (content: string) => {
  writeFileSync(join(folder, 'file'), content, 'latin1')
  return join(folder, 'file')
}

test.each([
  ['', 'a.wav is empty (0 bytes)'],
  ['x', 'a.wav has only 1 byte'],
  ['RIFF1234WAV', 'a.wav has only 11 bytes'],
])('%j is too small for audio', async (content, message) => {
  await expect(canBeAudio(save(content), 'wav', 'a.wav')).rejects.toMatchObject({ name: 'UserError', message })
})

test('a file that cannot be opened is reported', async () => {
  await expect(canBeAudio(join(folder, 'gone'), 'wav', 'a.wav')).rejects.toThrow('a.wav cannot be opened')
})

test.each([
  ['wav', 'RIFF', true],
  ['wav', 'RF64', true],
  ['wav', 'ID3\x04', true],
  ['wav', 'fLaC', false],
  ['wav', '{"a"', false],
  ['aiff', 'FORM', true],
  ['aiff', 'RIFF', false],
  ['matroska', '\x1a\x45\xdf\xa3', true],
  ['matroska', 'OggS', false],
  ['mp3', 'junk', true], // its demuxer searches for the first frame
])('the demuxer %s may read a file that starts with %j: %s', async (demuxer, start, expected) => {
  expect(await canBeAudio(save(`${start}0123456789`), demuxer, 'a')).toBe(expected)
})
