import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { isLeftover } from '../../src/platform/files.ts'
import { tone, writeWav } from '../audio/signals.ts'
import { ltxA2a, newFolder, projectPath, spawnLtxA2a } from '../cli/bin.ts'

const quick = ['--steps', '2', '--cfg', '1', '--stg-scale', '0', '--window', '0.5', '--backend', 'wasm']

function folderWithRecordings(names: readonly string[], seconds = 0.6) {
  const folder = newFolder()
  mkdirSync(join(folder, 'in'))
  for (const name of names) writeWav(join(folder, 'in', name), tone(seconds, { sampleRate: 16_000 }))
  return folder
}

describe('apply', () => {
  it('prints the paths of the results', async () => {
    const cwd = folderWithRecordings(['a.wav', 'b.wav'])
    const { code, stdout, stderr } = await ltxA2a(['apply', '--in', 'in', '--out', 'out', ...quick], { cwd })
    expect([code, stdout]).toEqual([0, `${join('out', 'a.wav')}\n${join('out', 'b.wav')}\n`])
    expect(stderr).toContain(`${join('in', 'b.wav')} → ${join('out', 'b.wav')} (2 of 2)`)
    expect(stderr).toContain('Transforming with no LoRA and no prompt, in windows of 0.5 s')
    expect(stderr).toContain('Sampling: 2 steps of 2 windows')
    expect(stderr).toContain('2 recordings transformed')
    const again = await ltxA2a(['apply', '--in', 'in', '--out', 'out', ...quick], { cwd })
    expect(again.stdout).toBe(stdout)
    expect(again.stderr).toContain('b.wav is finished already')
    expect(again.stderr).not.toContain('Sampling')
  })

  it('takes the files of a pattern that the shell has expanded', async () => {
    const cwd = folderWithRecordings(['a.wav', 'b.wav'])
    const files = ['a.wav', 'b.wav'].map((name) => join('in', name))
    const rest = ['--out', 'out', '--format', 'flac', ...quick]
    const { stdout } = await ltxA2a(['apply', '--in', ...files, ...rest], { cwd })
    expect((await ltxA2a(['apply', ...files, ...rest], { cwd })).stdout).toBe(stdout)
    expect(stdout).toBe(`${join('out', 'a.flac')}\n${join('out', 'b.flac')}\n`)
  })

  it('ends with a list of what failed, and exit code 2', async () => {
    const cwd = folderWithRecordings(['a.wav'])
    writeFileSync(join(cwd, 'in', 'broken.wav'), 'no sound at all, whatever the name says')
    const { code, stdout, stderr } = await ltxA2a(['apply', '--in', 'in', '--out', 'out', ...quick], { cwd })
    expect([code, stdout]).toEqual([2, `${join('out', 'a.wav')}\n`])
    expect(stderr.split('\n').slice(-3)).toEqual([
      'error: 1 of 2 recordings failed:',
      `  ${join('in', 'broken.wav')} cannot be read as .wav audio`,
      '',
    ])
  })

  it('says once what is wrong with a single recording', async () => {
    const cwd = newFolder()
    writeFileSync(join(cwd, 'broken.wav'), 'no sound at all, whatever the name says')
    const { code, stderr } = await ltxA2a(['apply', '--in', 'broken.wav', '--out', 'out', ...quick], { cwd })
    expect(code).toBe(2)
    expect(stderr.match(/cannot be read/g)).toHaveLength(1)
  })

  it('prints events as JSON', async () => {
    const cwd = folderWithRecordings(['a.wav'])
    const { stderr } = await ltxA2a(['apply', '--in', 'in', '--out', 'out', '--json-progress', ...quick], { cwd })
    const events = stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(events.at(-1)).toEqual({
      type: 'recording',
      input: join('in', 'a.wav'),
      output: join('out', 'a.wav'),
      status: 'written',
    })
  })

  it('stops after Ctrl-C, and says how to continue', async () => {
    const cwd = folderWithRecordings(['a.wav', 'b.wav'], 5)
    const interrupt = { at: 'b.wav (2 of 2)', signal: 'SIGINT' } as const
    const { code, stderr } = await spawnLtxA2a(['apply', '--in', 'in', '--out', 'out', ...quick], { cwd, interrupt })
    expect(code).toBe(130)
    expect(stderr).toContain('stopped: 1 of 2 recordings finished')
    expect(stderr).toContain(
      'to continue: run the same command again; finished recordings are kept, the one in progress starts again',
    )
    expect(readdirSync(join(cwd, 'out'))).toEqual(['a.wav'])
  })

  it('that is killed leaves no incomplete result, and continues', async () => {
    const cwd = folderWithRecordings(['a.wav', 'b.wav', 'c.wav'], 2)
    const args = ['apply', '--in', 'in', '--mix', '0.5', ...quick]
    await ltxA2a([...args, '--out', 'expected'], { cwd })
    const out = join(cwd, 'out')
    for (const milliseconds of [700, 1400, 2100]) {
      const child = spawn(process.execPath, [projectPath('bin/ltx-a2a.js'), ...args, '--out', 'out'], { cwd })
      const ended = new Promise((resolve) => child.on('close', resolve))
      await setTimeout(milliseconds)
      child.kill('SIGKILL')
      await ended
      for (const name of existsSync(out) ? readdirSync(out) : [])
        if (!isLeftover(name)) expectSameFile(join(out, name), join(cwd, 'expected', name))
    }
    expect((await ltxA2a([...args, '--out', 'out'], { cwd })).code).toBe(0)
    expect(readdirSync(out)).toEqual(['a.wav', 'b.wav', 'c.wav'])
    for (const name of readdirSync(out)) expectSameFile(join(out, name), join(cwd, 'expected', name))
  })
})

const expectSameFile = (a: string, b: string) => expect(readFileSync(a).equals(readFileSync(b))).toBe(true)
