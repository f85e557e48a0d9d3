import { copyFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { summary } from '../../src/cli/train.ts'
import { createRunFolder } from '../../src/train/run-folder.ts'
import { ltxA2a, newFolder, projectPath } from './bin.ts'

it('a run without --out is written to a new folder in runs and prints plain lines to stderr', async () => {
  const cwd = newFolder()
  copyFileSync(projectPath('fixtures/zips/valid/mac-leftovers-and-folders.zip'), join(cwd, 'Two pairs.zip'))
  writeFileSync(
    join(cwd, 'job.json'),
    '{ "data": "Two pairs.zip", "audio_duration_seconds": 0.5, "frame_rate": 24, "rank": 64 }',
  )
  const few = ['--number-of-steps', '1', '--rank', '2', '--backend', 'wasm']
  const { code, stdout, stderr } = await ltxA2a(['train', '--config', 'job.json', ...few], { cwd })
  expect(code, stderr).toBe(0)
  expect(stderr).not.toContain('\u001B')
  expect(stderr.split('\n')[0]).toBe('no effect, because only audio is trained: frame_rate')
  expect(stdout).toBe(`${join('runs', String(readdirSync(join(cwd, 'runs'))))}\n`)
  expect(stderr).toMatch(/^Training: 1 steps?, loss /m)
  const [run = '', ...others] = readdirSync(join(cwd, 'runs'))
  expect(others).toEqual([])
  expect(run).toMatch(/^Two-pairs-\d{8}-\d{6}$/)
  expect(stderr.trimEnd().split('\n').at(-1)).toContain(join('runs', run, 'lora.safetensors'))
})

describe('the last message of a run', () => {
  const summaryOf = (steps: number) =>
    summary({ folder: createRunFolder(newFolder(), emptyConfig), loraPath: '', steps, seconds: 65 })
  const emptyConfig = {
    tool: 'ltx-a2a',
    training_type: 'audio_to_audio_lora',
    trigger_phrase: '',
    parameters: {},
  } as const

  it('says whose price it names, and of when', () =>
    expect(summaryOf(2000)).toMatch(
      /^Done in 1 min 5 s: .*config\.json\. fal\.ai's hosted trainer of LTX-2\.3 charges \$4\.60 for as many steps \(November 2026\)\.$/,
    ))

  it('names no price for fewer steps than the hosted trainer accepts', () =>
    expect(summaryOf(99)).toMatch(/^Done in 1 min 5 s: .*config\.json\.$/))
})

it('a run with -q prints only its folder', async () => {
  const args = [
    'train',
    '-q',
    '--out',
    'new',
    '--data',
    projectPath('fixtures/zips/valid/mac-leftovers-and-folders.zip'),
  ]
  const few = ['--number-of-steps', '1', '--rank', '2', '--audio-duration-seconds', '0.5']
  expect(await ltxA2a([...args, ...few, '--backend', 'wasm'])).toEqual({ code: 0, stdout: 'new\n', stderr: '' })
})
