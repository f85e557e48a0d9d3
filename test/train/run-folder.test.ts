import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { writeSafetensors } from '../../src/formats/safetensors.ts'
import {
  appendMetrics,
  createRunFolder,
  lossesOf,
  openRunFolder,
  type RunConfig,
  readMetrics,
  removeOldCheckpoints,
  savedCheckpoints,
  savedLora,
  setPreviewsAside,
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

/** A run with empty files in its folder of checkpoints. */
function runWithCheckpoints(...names: string[]) {
  const run = createRunFolder(join(folder, 'run'), config)
  const checkpoints = join(run.path, 'checkpoints')
  mkdirSync(checkpoints)
  for (const name of names) writeFileSync(join(checkpoints, name), '')
  return { run, left: () => readdirSync(checkpoints).sort() }
}

it('a checkpoint has a name that the LTX-2 trainer finds with *step_*.safetensors', () => {
  const { run } = runWithCheckpoints()
  expect(run.checkpoint(1000)).toBe(join(run.path, 'checkpoints', 'lora_weights_step_01000.safetensors'))
})

it('checkpoints are found by their present and their former name, by step, and nothing else is taken for one', () => {
  const others = ['lora_weights_step_1.safetensors', 'my-lora-00100.safetensors', 'lora-00100.safetensors.77.tmp']
  const { run } = runWithCheckpoints(
    ...['lora_weights_step_100000.safetensors', 'lora-00250.safetensors', 'lora_weights_step_00500.safetensors'],
    ...others,
  )
  mkdirSync(join(run.path, 'checkpoints', 'lora-00750.safetensors'))
  expect(savedCheckpoints(run).map(({ step }) => step)).toEqual([250, 500, 100000])
  expect(savedLora(run, 250)).toBe(join(run.path, 'checkpoints', 'lora-00250.safetensors'))
  expect(savedLora(run, 500)).toBe(run.checkpoint(500))
  expect(savedLora(run, 750)).toBeUndefined()
})

it('the LoRA of a step is lora.safetensors only if it is of that step', () => {
  const { run } = runWithCheckpoints('lora_weights_step_00002.safetensors')
  writeSafetensors(run.lora, new Map(), { steps: '4' })
  expect(savedLora(run, 4)).toBe(run.lora)
  expect(savedLora(run, 2)).toBe(run.checkpoint(2))
  writeFileSync(run.lora, 'cut off')
  expect(savedLora(run, 4)).toBeUndefined()
})

it('removing old checkpoints keeps the last ones and files of other names', () => {
  const { run, left } = runWithCheckpoints(
    ...['lora-00001.safetensors', 'lora-00002.safetensors', 'lora_weights_step_00003.safetensors'],
    ...['lora_weights_step_00004.safetensors', 'lora_weights_step_00009.safetensors', 'my-lora-00001.safetensors'],
  )
  removeOldCheckpoints(run, 2, 4) // 9 was written by a process that was killed before it saved its state
  expect(left()).toEqual([
    ...['lora_weights_step_00003.safetensors', 'lora_weights_step_00004.safetensors'],
    ...['lora_weights_step_00009.safetensors', 'my-lora-00001.safetensors'],
  ])
})

it('a checkpoint that was written again replaces its file of the former name', () => {
  const { run, left } = runWithCheckpoints(
    ...['lora-00001.safetensors', 'lora-00002.safetensors', 'lora_weights_step_00002.safetensors'],
  )
  removeOldCheckpoints(run, 'all', 2)
  expect(left()).toEqual(['lora-00001.safetensors', 'lora_weights_step_00002.safetensors'])
})

it('truncateMetrics removes later steps and an incomplete line', () => {
  const run = createRunFolder(join(folder, 'run'), config)
  for (const step of [0, 1, 2, 3]) appendMetrics(run, { step })
  writeFileSync(run.metrics, '{"step":4,"lo', { flag: 'a' })
  truncateMetrics(run, 2)
  expect(readFileSync(run.metrics, 'utf8')).toBe('{"step":0}\n{"step":1}\n{"step":2}\n')
})

it('the losses of the steps are read from the metrics, without those that have none', () => {
  const run = createRunFolder(join(folder, 'run'), config)
  expect(lossesOf(readMetrics(run))).toEqual([])
  for (const line of [
    { step: 0, fixed_loss: 1 },
    { step: 1, loss: 0.5 },
    { step: 2, loss: 0.1 + 0.2 },
  ])
    appendMetrics(run, line)
  expect(lossesOf(readMetrics(run))).toEqual([0.5, 0.1 + 0.2])
})

it('previews are set aside without replacing those that were set aside before', () => {
  const run = createRunFolder(join(folder, 'run'), config)
  expect(setPreviewsAside(run, 4)).toBeUndefined()
  mkdirSync(join(run.path, 'previews'))
  const kept = ['first', 'second'].map((text) => {
    writeFileSync(run.preview(1, 4), text)
    return setPreviewsAside(run, 4) as string
  })
  expect(kept.map((path) => readFileSync(join(path, 'preview-1-00004.wav'), 'utf8'))).toEqual(['first', 'second'])
  expect(existsSync(run.preview(1, 4))).toBe(false)
})
