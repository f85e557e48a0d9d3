/** What commands do where an output cannot or must not be written, and what a preview writes. */
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { decodeWav, encodeWav } from '../../src/audio/wav.ts'
import { durationOf } from '../../src/audio/waveform.ts'
import { ltxA2a, newFolder, projectPath } from './bin.ts'

const tone = (seconds: number) =>
  encodeWav({
    sampleRate: 16_000,
    channels: [Float32Array.from({ length: seconds * 16_000 }, (_, i) => 0.5 * Math.sin(i / 7))],
  })

/** A folder with a recording, a dataset as a zip and as a folder, and a job. */
function workplace() {
  const cwd = newFolder()
  writeFileSync(join(cwd, 'voice.wav'), tone(3))
  copyFileSync(projectPath('fixtures/zips/valid/ten-pairs.zip'), join(cwd, 'pairs.zip'))
  mkdirSync(join(cwd, 'pairs'))
  for (const side of ['start', 'end']) writeFileSync(join(cwd, 'pairs', `a_${side}.wav`), tone(2))
  writeFileSync(join(cwd, 'pairs', 'a.txt'), 'a tone')
  writeFileSync(join(cwd, 'job.json'), '{ "training_data_url": "pairs", "trigger_phrase": "t" }')
  cpSync(projectPath('test/base/ltx-2.3-tiny-audio.safetensors'), join(cwd, 'base.safetensors'))
  return cwd
}

const quick = ['--prompt', 'x', '--steps', '1', '--cfg', '1', '--stg-scale', '0', '--backend', 'wasm']

describe('an output that is an input is refused, and the input is kept: ', () => {
  it.each([
    ['preview --ref voice.wav --out voice.wav', 'voice.wav'],
    ['preview --ref voice.wav --out voice.wav --force', 'voice.wav'],
    ['preview --ref voice.wav --out ./pairs/../voice.wav', 'voice.wav'],
    ['preview --ref voice.wav --out new/../voice.wav', 'voice.wav'],
    ['inspect-dataset pairs --html new/../pairs/a.txt', 'pairs/a.txt'],
    ['encode-captions --config job.json --out new/../job.json', 'job.json'],
    ['preview --ref voice.wav --lora base.safetensors --out base.safetensors', 'base.safetensors'],
    ['preview --ref voice.wav --model base.safetensors --out base.safetensors --force', 'base.safetensors'],
    ['inspect-dataset pairs.zip --html pairs.zip', 'pairs.zip'],
    ['inspect-dataset pairs --html pairs/a.txt --force', 'pairs/a.txt'],
    ['inspect-dataset --config job.json --html job.json --force', 'job.json'],
    ['encode-captions --config job.json --out job.json', 'job.json'],
    ['fix-dataset pairs.zip --out pairs.zip --force', 'pairs.zip'],
    ['fix-dataset pairs --out new/../pairs/a.txt --force', 'pairs/a.txt'],
    ['encode-captions --data pairs.zip --out pairs.zip --force', 'pairs.zip'],
    ['encode-captions --data pairs --out pairs/a.txt', 'pairs/a.txt'],
    ['encode-captions --data pairs --model base.safetensors --out base.safetensors', 'base.safetensors'],
  ])('%s', async (line, input) => {
    const cwd = workplace()
    const before = readFileSync(join(cwd, input))
    const { code, stdout, stderr } = await ltxA2a(line.split(' '), { cwd })
    expect([code, stdout], stderr).toEqual([2, ''])
    expect(stderr).toContain('is an input of this command')
    expect(readFileSync(join(cwd, input)).equals(before)).toBe(true)
  })
})

describe('an existing file that the command did not write is kept: ', () => {
  it.each([
    ['preview --ref voice.wav --out notes'],
    ['inspect-dataset pairs --html notes'],
    ['encode-captions --data pairs --out notes'],
    ['fix-dataset pairs --out notes'],
    ['make-pairs --clean pairs --effect noise --out notes'],
  ])('%s', async (line) => {
    const cwd = workplace()
    writeFileSync(join(cwd, 'notes'), 'mine')
    const { code, stdout, stderr } = await ltxA2a(line.split(' '), { cwd })
    expect([code, stdout], stderr).toEqual([2, ''])
    expect(stderr).toContain('notes exists already, and this command did not write it')
    expect(stderr).toContain('--force')
    expect(readFileSync(join(cwd, 'notes'), 'utf8')).toBe('mine')
  })
})

it('results of the same command are replaced, and --force replaces other files', async () => {
  const cwd = workplace()
  const run = (line: string) => ltxA2a(line.split(' '), { cwd })
  for (const force of ['', ' --force']) {
    if (force) for (const name of ['p.html', 'c.safetensors']) writeFileSync(join(cwd, name), 'mine')
    for (let i = 0; i < 2; i++) {
      const page = await run(`inspect-dataset pairs --audio-duration-seconds 1 --html p.html${i === 0 ? force : ''}`)
      expect(page.code, page.stderr).toBe(0)
      const captions = await run(
        `encode-captions --data pairs --out c.safetensors --backend wasm${i === 0 ? force : ''}`,
      )
      expect(captions.code, captions.stderr).toBe(0)
    }
  }
})

it('a preview has the length that was asked for, in the format of its name, and replaces an earlier one', async () => {
  const cwd = workplace()
  const preview = (...args: string[]) => ltxA2a(['preview', '--ref', 'voice.wav', ...quick, ...args], { cwd })
  for (const seconds of [2, 1.23]) {
    const { code, stderr } = await preview('--duration', String(seconds), '--out', 'new.wav')
    expect(code, stderr).toBe(0)
    expect(durationOf(decodeWav(readFileSync(join(cwd, 'new.wav'))))).toBeCloseTo(seconds, 6)
  }
  const { code } = await preview('--duration', '1', '--out', 'new.mp3')
  expect(code).toBe(0)
  expect(readFileSync(join(cwd, 'new.mp3')).subarray(0, 3).toString()).toBe('ID3')
})

describe('a preview says what part of the recording it uses: ', () => {
  const preview = (cwd: string, ...args: string[]) =>
    ltxA2a(['preview', '--ref', 'voice.wav', ...quick, '--out', 'new.wav', ...args], { cwd })
  const secondsOf = (cwd: string) => durationOf(decodeWav(readFileSync(join(cwd, 'new.wav'))))

  it('the beginning of a longer one', async () => {
    const cwd = workplace()
    const { stderr } = await preview(cwd, '--duration', '1')
    expect(stderr).toContain('voice.wav: the first 1 s are used\n')
  })

  it('all of it without --duration, without a message', async () => {
    const cwd = workplace()
    const { stderr } = await preview(cwd)
    expect(stderr).not.toContain('are used')
    expect(secondsOf(cwd)).toBe(3)
  })

  it('all of a shorter one, with a warning that nothing guides the rest', async () => {
    const cwd = workplace()
    const { stderr } = await preview(cwd, '--duration', '4')
    expect(stderr).toContain('warning: voice.wav has 3.00 s: after that, nothing guides the result')
    expect(secondsOf(cwd)).toBe(4)
  })
})

describe('a bad --out is refused before the work: ', () => {
  it.each([
    ['', 'out must be a path that is not empty, not ""'],
    ['pairs', 'pairs is a folder'],
    ['voice.wav/new.wav', 'voice.wav is a file'],
    ['new.txt', 'new.txt has the extension .txt, which is no known format of sound'],
  ])('%s', async (out, message) => {
    const cwd = workplace()
    const { code, stderr } = await ltxA2a(['preview', '--ref', 'voice.wav', '--out', out], { cwd })
    expect(code, stderr).toBe(2)
    expect(stderr).toContain(message)
    expect(stderr).not.toContain('Base:')
  })
})

describe('a file or folder that is named twice is refused: ', () => {
  it.each([
    ['preview --ref voice.wav --ref other.wav', '--ref was given twice: voice.wav and other.wav'],
    ['train --data a.zip --training-data-url b.zip', '--data was given twice: a.zip and b.zip'],
    ['encode-captions --data pairs --out a --out b', '--out was given twice: a and b'],
    ['inspect-dataset pairs --html a --html b', '--html was given twice: a and b'],
    ['train --resume a --resume b', '--resume was given twice: a and b'],
    ['train --config a --config b', '--config was given twice: a and b'],
  ])('%s', async (line, message) => {
    const { code, stderr } = await ltxA2a(line.split(' '), { cwd: workplace() })
    expect(code, stderr).toBe(2)
    expect(stderr).toContain(message)
  })
})

it('preview writes to standard output, and prints no path then', async () => {
  const cwd = workplace()
  const { code, stderr } = await ltxA2a(
    ['preview', '--ref', 'voice.wav', '--duration', '1', ...quick, '--out', '/dev/full'],
    {
      cwd,
    },
  )
  expect(code, stderr).toBe(2)
  expect(stderr).toContain('there is no room to write /dev/full')
  expect(existsSync(join(cwd, 'preview.wav'))).toBe(false)
})
