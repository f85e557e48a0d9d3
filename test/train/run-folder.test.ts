import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import {
  appendMetrics,
  createRunFolder,
  openRunFolder,
  type RunConfig,
  truncateMetrics,
} from '../../src/train/run-folder.ts'

let folder: string
const home = process.cwd()
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-test-'))
})
afterEach(() => {
  process.chdir(home)
  rmSync(folder, { recursive: true })
})

const config: RunConfig = { tool: 'ltx-a2a', training_type: 'audio_to_audio_lora', trigger_phrase: '', parameters: {} }

it('a new run folder contains its config and can be opened', () => {
  const run = createRunFolder(join(folder, 'a', 'run'), config)
  expect(JSON.parse(readFileSync(run.config, 'utf8'))).toEqual(config)
  const found = openRunFolder(run.path)
  expect([found.run.path, found.config]).toEqual([run.path, config])
})

it('creating a run refuses a folder that contains other files and does not change them', () => {
  writeFileSync(join(folder, 'thesis.txt'), 'mine')
  expect(() => createRunFolder(folder, config)).toThrow(/holds files that are not a run of ltx-a2a/)
  expect(existsSync(join(folder, 'config.json'))).toBe(false)
})

it('a folder with the config.json of another program is refused', () => {
  writeFileSync(join(folder, 'config.json'), '{"name":"theirs"}')
  expect(() => createRunFolder(folder, config)).toThrow(/not a run of ltx-a2a/)
  expect(() => openRunFolder(folder)).toThrow(/is not a run of ltx-a2a/)
})

it('creating a run replaces a run that ended before its first step', () => {
  createRunFolder(join(folder, 'run'), config)
  const run = createRunFolder(join(folder, 'run'), { ...config, trigger_phrase: 'new' })
  expect(openRunFolder(run.path).config.trigger_phrase).toBe('new')
})

it('creating a run does not overwrite an existing run', () => {
  appendMetrics(createRunFolder(join(folder, 'run'), config), { step: 0 })
  expect(() => createRunFolder(join(folder, 'run'), config)).toThrow(/already holds a run/)
})

it('creating a run refuses a file', () => {
  writeFileSync(join(folder, 'run'), '')
  expect(() => createRunFolder(join(folder, 'run'), config)).toThrow(/is a file/)
})

it('opening "latest" opens the most recent run', () => {
  process.chdir(folder)
  mkdirSync('runs')
  expect(() => openRunFolder('latest')).toThrow(/no run/)
  const [older, newer] = ['x', 'a'].map((name) => createRunFolder(join('runs', name), config))
  utimesSync(older?.config ?? '', 1, 1)
  expect(openRunFolder('latest').run.path).toBe(newer?.path)
})

it('truncateMetrics removes later steps and an incomplete line', () => {
  const run = createRunFolder(join(folder, 'run'), config)
  for (const step of [0, 1, 2, 3]) appendMetrics(run, { step })
  writeFileSync(run.metrics, '{"step":4,"lo', { flag: 'a' })
  truncateMetrics(run, 2)
  expect(readFileSync(run.metrics, 'utf8')).toBe('{"step":0}\n{"step":1}\n{"step":2}\n')
})
