import { copyFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ltxA2a, newFolder, projectPath, spawnLtxA2a } from './bin.ts'

const zip = (path: string) => projectPath(`fixtures/zips/${path}.zip`)
const twoPairs = zip('valid/mac-leftovers-and-folders')
const oneSecond = ['--audio-duration-seconds', '1']

describe('inspect-dataset', () => {
  it('prints a table to stdout and its progress to stderr, both without escape sequences', async () => {
    const { code, stdout, stderr } = await ltxA2a(['inspect-dataset', zip('valid/ten-pairs'), ...oneSecond])
    expect(code).toBe(0)
    expect(stdout).toContain('tone-0')
    expect(stdout).toMatch(/ten-pairs: 10 of 10 pairs used at 1 s/)
    expect(stderr).toBe('Measuring: 10 pairs\n')
    expect(stdout + stderr).not.toContain('\u001B')
  })

  it('prints only JSON to stdout with --json', async () => {
    const { code, stdout } = await ltxA2a(['inspect-dataset', '--json', '--data', zip('valid/ten-pairs'), ...oneSecond])
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ name: 'ten-pairs', counts: { pairs: 10, used: 10 } })
  })

  it('prints the full report and exits with 2 when no pair is usable', async () => {
    const { code, stdout, stderr } = await ltxA2a(['inspect-dataset', zip('valid/ten-pairs'), '--json'])
    expect(code).toBe(2)
    expect(JSON.parse(stdout)).toMatchObject({ counts: { pairs: 10, used: 0 } })
    expect(stderr).toMatch(
      /^error: .*no pair has 5 s on both sides; 10 pairs have at least 1 s: try --audio-duration-seconds 1$/m,
    )
  })

  it('reads the dataset parameters of a job file, overridden by flags', async () => {
    const cwd = newFolder()
    copyFileSync(twoPairs, join(cwd, 'pairs.zip'))
    const job = {
      training_data_url: 'pairs.zip',
      audio_duration_seconds: 5,
      trigger_phrase: 'bells',
      rank: 8,
      resolution: 'high',
    }
    writeFileSync(join(cwd, 'job.json'), JSON.stringify(job))
    const { code, stdout, stderr } = await ltxA2a(['inspect-dataset', '--config', 'job.json', '--json', ...oneSecond], {
      cwd,
    })
    expect(code).toBe(0)
    expect(JSON.parse(stdout).pairs.map((pair: { caption: string }) => pair.caption)).toEqual([
      'bells',
      'bells dry drums',
    ])
    expect(stderr).toContain('no effect, because only audio is trained: resolution\n')
  })

  it('prints only the result with --quiet and writes no files', async () => {
    const cwd = newFolder()
    const { code, stderr } = await ltxA2a(['inspect-dataset', '-q', twoPairs, ...oneSecond], { cwd })
    expect([code, stderr, readdirSync(cwd)]).toEqual([0, '', []])
  })
})

describe('inspect-dataset without a dataset argument', () => {
  const inspect = (cwd: string) => ltxA2a(['inspect-dataset', ...oneSecond], { cwd })
  const folderOf = (...names: string[]) => {
    const cwd = newFolder()
    for (const name of names) copyFileSync(twoPairs, join(cwd, name))
    return cwd
  }

  it('uses pairs.zip', async () => {
    const { code, stdout, stderr } = await inspect(folderOf('another.zip', 'pairs.zip'))
    expect([code, stderr.split('\n')[0]]).toEqual([0, 'Dataset: pairs.zip'])
    expect(stdout).toContain('pairs: 2 of 2 pairs used')
  })

  it('uses the only zip file', async () => {
    const { code, stdout } = await inspect(folderOf('Bells.ZIP', 'notes.txt'))
    expect(code).toBe(0)
    expect(stdout).toContain('Bells: 2 of 2 pairs used')
  })

  it('is refused when there are two zip files', async () => {
    const { code, stdout, stderr } = await inspect(folderOf('b.zip', 'a.zip'))
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toContain('error: the current folder holds 2 zips: a.zip, b.zip\n  hint: name the dataset')
  })

  it('is refused with the names of the files when there is no zip file', async () => {
    expect((await inspect(folderOf('notes.txt'))).stderr).toContain(
      'error: the current folder holds no zip, only notes.txt\n',
    )
    expect((await inspect(folderOf())).stderr).toContain('error: the current folder holds no zip\n')
  })
})

describe('an internal error', () => {
  it('exits with 1, prints its stack trace and is reported as a bug', async () => {
    const sabotage =
      "const { stringify } = JSON; JSON.stringify = (...args) => { if (args[2] === 2) throw new TypeError('boom'); return stringify(...args) }"
    const { code, stdout, stderr } = await spawnLtxA2a(
      ['inspect-dataset', '--json', zip('valid/ten-pairs'), ...oneSecond],
      {
        env: { NODE_OPTIONS: `--import "data:text/javascript,${encodeURIComponent(sabotage)}"` },
      },
    )
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toMatch(/^error: TypeError: boom\n\s+at /m)
    expect(stderr).toMatch(/\nThis is a bug in ltx-a2a \d+\.\d+\.\d+, not something you did\.\n$/)
  })
})
