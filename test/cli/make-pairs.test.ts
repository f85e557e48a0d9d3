import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { encodeWav } from '../../src/audio/wav.ts'
import { performance } from '../audio/analysis/sounds.ts'
import { needs } from '../needs.ts'
import { ltxA2a, newFolder, projectPath, spawnLtxA2a } from './bin.ts'

function workplace(): string {
  const cwd = newFolder()
  mkdirSync(join(cwd, 'clean'))
  for (const seed of [1, 2])
    writeFileSync(join(cwd, 'clean', `${seed}.wav`), encodeWav(performance(seed, { seconds: 1 })))
  return cwd
}

const run = (cwd: string, line: string) => ltxA2a(line.split(' '), { cwd })

describe('make-pairs', () => {
  it('writes the zip and prints its path, or everything as JSON', async () => {
    const cwd = workplace()
    const { code, stdout, stderr } = await run(cwd, 'make-pairs --clean clean --effect noise --out new.zip')
    expect([code, stdout], stderr).toEqual([0, 'new.zip\n'])
    const json = await run(
      cwd,
      'make-pairs --effect noise --snr 3 --clean clean/1.wav clean/2.wav --out new.zip --json',
    )
    expect(json.code, json.stderr).toBe(0)
    expect(JSON.parse(json.stdout)).toMatchObject({
      out: 'new.zip',
      direction: 'restore',
      pairs: [{ name: '1', strengths: { snrDb: 3 } }, { name: '2' }],
      problems: [],
    })
    expect(readdirSync(cwd).sort()).toEqual(['clean', 'new.zip'])
  })

  it('prints the strengths that were drawn, and replaces no pairs of another effect unless it is told to', async () => {
    const cwd = workplace()
    const first = await run(cwd, 'make-pairs --clean clean --effect clipping')
    expect(first.stderr).toMatch(/Strengths: depthDb \d+(\.\d+)? to \d+(\.\d+)?\. make-pairs\.json/)
    const before = readFileSync(join(cwd, 'pairs.zip'))
    const other = await run(cwd, 'make-pairs --clean clean --effect noise --snr 3')
    expect([other.code, other.stderr]).toEqual([
      2,
      expect.stringContaining('pairs.zip has 2 pairs with the effect clipping, --direction restore'),
    ])
    expect(readFileSync(join(cwd, 'pairs.zip')).equals(before)).toBe(true)
    expect((await run(cwd, 'make-pairs --clean clean --effect clipping --seed 1')).code).toBe(0)
    expect((await run(cwd, 'make-pairs --clean clean --effect noise --snr 3 --force')).code).toBe(0)
  })

  it('warns where the recordings are pairs already, and where a pair hardly differs', async () => {
    const cwd = workplace()
    await run(cwd, 'make-pairs --clean clean --effect noise --out new.zip')
    const { code, stderr } = await run(cwd, 'make-pairs --clean new.zip --effect noise --snr 60 --out again.zip')
    expect(code).toBe(0)
    expect(stderr).toContain('warning: new.zip has pairs already: each of their sides is taken for a clean recording')
    expect(stderr).toMatch(
      /warning: the sides of \d pairs sound almost the same at the 16 kHz of the model: .*0\.\d dB/,
    )
  })

  it('goes on after a bad recording, and ends with a list and exit code 2', async () => {
    const cwd = workplace()
    writeFileSync(join(cwd, 'clean', '0.wav'), 'no audio')
    const { code, stdout, stderr } = await run(cwd, 'make-pairs --clean clean --effect noise --out new.zip')
    expect([code, stdout]).toEqual([2, 'new.zip\n'])
    expect(stderr).toContain('error: 1 recording of 3 could not be used:\n  0.wav has only 8 bytes (')
    expect(stderr).toContain('hint: new.zip has the other 2 pairs')
  })

  it.each([
    ['make-pairs --effect noise', 'clean is missing'],
    ['make-pairs --clean clean', 'effect is missing'],
    ['make-pairs --clean clean --effect radio --snr 5:10', '--snr has no effect on radio'],
    ['make-pairs --clean clean --effect noise --snr 10:5', 'the smaller one first, such as 20:40, not 10:5'],
    ['make-pairs --clean clean --effect noise --snr 5:100', '--snr must be a number from -20 to 80, or'],
    ['make-pairs --clean clean --effect noise --out pairs.wav', '--out pairs.wav does not end in .zip'],
    ['make-pairs --clean clean --effect adelay=50|50,atrim=end=1', 'moves the sound of 1.wav by +50 ms'],
    ['make-pairs --clean clean --effect noise --direction back', 'direction must be one of restore, apply'],
    ['make-pairs --clean clean --effect telefone', "No such filter: 'telefone'"],
    ['make-pairs --clean nothing --effect noise', 'nothing'],
    ['make-pairs --clean clean --effect noise --out clean/1.wav --force', 'is an input of this command'],
  ])('%s is refused, and writes nothing', async (line, message) => {
    const cwd = workplace()
    const { code, stdout, stderr } = await run(cwd, line)
    expect([code, stdout], stderr).toEqual([2, ''])
    expect(stderr).toContain(message)
    expect([readdirSync(cwd), readdirSync(join(cwd, 'clean'))]).toEqual([['clean'], ['1.wav', '2.wav']])
  })

  it.each<[NodeJS.Signals, number | null]>([
    ['SIGINT', 130],
    ['SIGKILL', null],
  ])('%s leaves nothing under the name of the output', async (signal, expected) => {
    const cwd = workplace()
    for (let i = 3; i < 40; i++)
      writeFileSync(join(cwd, 'clean', `${i}.wav`), encodeWav(performance(1, { seconds: 1 })))
    const { code } = await spawnLtxA2a(['make-pairs', '--clean', 'clean', '--effect', 'room', '--out', 'new.zip'], {
      cwd,
      interrupt: { at: 'Making pairs', signal },
    })
    expect(code).toBe(expected)
    expect(existsSync(join(cwd, 'new.zip'))).toBe(false)
  })

  it.skipIf(process.platform === 'win32')(
    'a full disk is no fault of the recordings: it stops and writes nothing',
    needs('ulimit'),
    () => {
      const cwd = workplace()
      const command = `ulimit -f 100 && "${process.execPath}" ${projectPath('bin/ltx-a2a.js')} make-pairs --clean clean --effect noise --out new.zip`
      const { status, stderr } = spawnSync('sh', ['-c', command], { cwd, encoding: 'utf8' })
      expect(stderr).toContain(`error: there is no room for temporary files in ${tmpdir()}`)
      expect(status).toBe(2)
      expect(readdirSync(cwd)).toEqual(['clean'])
    },
  )
})
