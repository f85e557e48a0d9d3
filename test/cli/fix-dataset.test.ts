import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { encodeWav } from '../../src/audio/wav.ts'
import { openSource } from '../../src/dataset/source.ts'
import { louder, performance } from '../audio/analysis/sounds.ts'
import { ltxA2a, newFolder, projectPath, spawnLtxA2a } from './bin.ts'

const tenPairs = projectPath('fixtures/zips/valid/ten-pairs.zip')

/** A folder with a dataset: a good pair, a quiet one, and one without a target. */
function workplace(): string {
  const cwd = newFolder()
  mkdirSync(join(cwd, 'pairs'))
  const put = (name: string, seed: number, gain = 1) =>
    writeFileSync(join(cwd, 'pairs', name), encodeWav(louder(performance(seed), gain)))
  for (const side of ['start', 'end']) {
    put(`a_${side}.wav`, 1)
    put(`b_${side}.wav`, 2, 0.1)
  }
  put('c_start.wav', 3)
  return cwd
}

const run = (cwd: string, line: string) => ltxA2a(line.split(' '), { cwd })

describe('fix-dataset', () => {
  it('prints what it does to each pair, and writes the zip', async () => {
    const cwd = workplace()
    const { code, stdout, stderr } = await run(cwd, 'fix-dataset pairs --out fixed.zip')
    expect(code, stderr).toBe(0)
    expect(stdout).toMatch(
      /^b: \+\d+\.\d dB on both sides\n\nc: rejected \(c_start.wav has no target\)\n\nleft to you: /,
    )
    expect(stdout).toMatch(/\nfixed.zip: 2 pairs, 1 changed, 1 rejected\n$/)
    expect(readdirSync(cwd).sort()).toEqual(['fixed.zip', 'pairs'])
    const again = await run(cwd, 'fix-dataset pairs --out fixed.zip')
    expect(again.code, again.stderr).toBe(0) // its own output is replaced
  })

  it('names every recording that is left out, first, in the output and in the zip', async () => {
    const cwd = workplace()
    for (const name of ['A.md', 'B.md', 'C.md', 'D.md', 'E.md']) writeFileSync(join(cwd, 'pairs', name), 'text')
    const songs = ['song-1.wav', 'song-2.wav', 'song-3.wav', 'song-4.wav', 'song-5.wav']
    for (const name of songs) writeFileSync(join(cwd, 'pairs', name), encodeWav(performance(5)))
    const { stdout } = await run(cwd, 'fix-dataset pairs --out fixed.zip')
    expect(stdout).toContain(
      `5 recordings left out, no part of a pair: ${songs.join(', ')}\n5 other files left out, no part of a pair: A.md, B.md, C.md, D.md and 1 more\n`,
    )
    const source = await openSource(join(cwd, 'fixed.zip'))
    const reasons = Buffer.from(await source.readText('rejected/reasons.txt')).toString()
    await source.close()
    for (const name of [...songs, 'E.md']) expect(reasons).toContain(`left out, no part of a pair: ${name}\n`)
    expect(reasons).toContain('c: c_start.wav has no target\n')
  })

  it('--dry-run says the same and writes nothing', async () => {
    const cwd = workplace()
    const [wet, dry] = [
      await run(cwd, 'fix-dataset pairs --out fixed.zip --json'),
      await run(cwd, 'fix-dataset pairs --dry-run --json'),
    ]
    expect(JSON.parse(dry.stdout)).toEqual({ ...JSON.parse(wet.stdout), out: null })
    expect(JSON.parse(dry.stdout)).toMatchObject({ counts: { pairs: 2, changed: 1, rejected: 1 } })
    const other = workplace()
    await run(other, 'fix-dataset pairs --dry-run --out fixed.zip')
    expect(readdirSync(other)).toEqual(['pairs'])
  })

  it('writes the zip to standard output', async () => {
    const cwd = workplace()
    await run(cwd, 'fix-dataset pairs --out fixed.zip')
    mkdirSync(join(cwd, 'new'))
    const { status } = await import('node:child_process').then(({ spawnSync }) =>
      spawnSync(
        'sh',
        ['-c', `"${process.execPath}" ${projectPath('bin/ltx-a2a.js')} fix-dataset pairs --out - > new/piped.zip`],
        { cwd },
      ),
    )
    expect(status).toBe(0)
    expect(readFileSync(join(cwd, 'new', 'piped.zip')).equals(readFileSync(join(cwd, 'fixed.zip')))).toBe(true)
  })

  it.each([
    ['fix-dataset pairs', '--out is missing'],
    ['fix-dataset pairs --out pairs/a_start.wav --force', 'is an input of this command'],
    ['fix-dataset pairs --out notes', 'this command did not write it'],
    ['fix-dataset nothing.zip --out fixed.zip', 'nothing.zip'],
    ['fix-dataset notes --out fixed.zip', 'notes is not a zip archive'],
    ['fix-dataset pairs --out fixed.zip --keep all', '--keep must be one of silent, clipped, duplicate, not "all"'],
    ['fix-dataset pairs --out fixed.zip --keep silent,all', 'entry 2 of --keep must be one of'],
    ['fix-dataset pairs --out fixed.wav', '--out fixed.wav does not end in .zip'],
    ['fix-dataset pairs --out - --json', 'the same place as --json'],
  ])('%s is refused, and writes nothing', async (line, message) => {
    const cwd = workplace()
    writeFileSync(join(cwd, 'notes'), 'mine')
    const before = readFileSync(join(cwd, 'pairs', 'a_start.wav'))
    const { code, stdout, stderr } = await run(cwd, line)
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toContain(message)
    expect(readdirSync(cwd).sort()).toEqual(['notes', 'pairs'])
    expect(readFileSync(join(cwd, 'pairs', 'a_start.wav')).equals(before)).toBe(true)
  })

  it.each<[NodeJS.Signals, number | null]>([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGKILL', null],
  ])('%s leaves nothing under the name of the output', async (signal, expected) => {
    const cwd = newFolder()
    copyFileSync(tenPairs, join(cwd, 'pairs.zip'))
    const { code } = await spawnLtxA2a(
      ['fix-dataset', 'pairs.zip', '--out', 'fixed.zip', '--audio-duration-seconds', '1'],
      {
        cwd,
        interrupt: { at: 'Measuring', signal },
      },
    )
    expect(code).toBe(expected)
    expect(existsSync(join(cwd, 'fixed.zip'))).toBe(false)
  })
})
