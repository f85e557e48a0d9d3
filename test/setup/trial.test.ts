/** The temporary folders of TensorFlow setups: concurrent, abandoned and stopped setups. */
import { spawn } from 'node:child_process'
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
import { dirname, join } from 'node:path'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { installationFolder } from '../../src/engine/installation.ts'
import type { ProgressEvent } from '../../src/platform/progress.ts'
import { makeTrialFolder, moveIntoPlace, setUpTensorFlow } from '../../src/setup/tensorflow.ts'
import { inFolder } from '../cli/bin.ts'
import { needs } from '../needs.ts'

const home = mkdtempSync(join(tmpdir(), 'ltx-a2a-parallel-'))
afterAll(() => rmSync(home, { recursive: true }))
let data: string
beforeEach(() => {
  data = join(mkdtempSync(join(home, 'data-')), 'ltx-a2a') // setups create it
})

const files = ['first', 'second', 'third']

function fill(trial: string, owner: string) {
  for (const file of files) writeFileSync(join(installationFolder(trial), file), owner)
}

const installed = () => files.map((file) => readFileSync(join(installationFolder(data), file), 'utf8'))

describe('two concurrent setups', () => {
  it('use separate folders, and the last to finish is kept', () => {
    const [one, two] = [makeTrialFolder(data), makeTrialFolder(data)]
    fill(one, 'one')
    fill(two, 'two')
    expect(readFileSync(join(installationFolder(one), 'first'), 'utf8')).toBe('one')
    moveIntoPlace(two, data)
    expect(installed()).toEqual(['two', 'two', 'two'])
    moveIntoPlace(one, data)
    expect(installed()).toEqual(['one', 'one', 'one'])
    for (const trial of [one, two]) rmSync(trial, { recursive: true })
    expect(readdirSync(data)).toEqual(['tensorflow'])
  })

  it('in two processes can finish at the same time', async () => {
    const from = (path: string) => JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href)
    const program = (owner: string) => `
      import { rmSync, writeFileSync } from 'node:fs'
      import { installationFolder } from ${from('engine/installation.ts')}
      import { makeTrialFolder, moveIntoPlace } from ${from('setup/tensorflow.ts')}
      process.stdout.write('ready')
      await new Promise((resolve) => process.stdin.once('data', resolve))
      process.stdin.destroy()
      for (let i = 0; i < 300; i++) {
        const trial = makeTrialFolder(${JSON.stringify(data)})
        for (const file of ${JSON.stringify(files)}) writeFileSync(installationFolder(trial) + '/' + file, ${JSON.stringify(owner)})
        moveIntoPlace(trial, ${JSON.stringify(data)})
        rmSync(trial, { recursive: true })
      }`
    const children = ['one', 'two'].map((owner) =>
      spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program(owner)]),
    )
    const errors: string[] = []
    for (const child of children) child.stderr.on('data', (text) => errors.push(String(text)))
    const ended = Promise.all(children.map((child) => new Promise((resolve) => child.on('close', resolve))))
    const ready = children.map((child) => new Promise((resolve) => child.stdout.once('data', resolve)))
    await Promise.race([Promise.all(ready), ended])
    for (const child of children) child.stdin.write('go')
    expect([await ended, errors]).toEqual([[0, 0], []])
    expect(readdirSync(data)).toEqual(['tensorflow'])
    expect(new Set(installed()).size).toBe(1)
  })
})

it('the folder of a killed setup is removed after a day, that of a running one is kept', () => {
  const [abandoned, running] = [makeTrialFolder(data), makeTrialFolder(data)]
  mkdirSync(join(data, 'tensorflow'))
  const twoDaysAgo = Date.now() / 1000 - 2 * 24 * 3600
  for (const path of [abandoned, join(data, 'tensorflow')]) utimesSync(path, twoDaysAgo, twoDaysAgo)
  const next = makeTrialFolder(data)
  expect([abandoned, running, next, join(data, 'tensorflow')].map(existsSync)).toEqual([false, true, true, true])
})

it.skipIf(process.platform !== 'linux')(
  'a stopped setup kills its child process and installs nothing',
  needs('Linux'),
  async () => {
    const folder = mkdtempSync(join(home, 'stopped-'))
    for (const file of ['include/tensorflow/c/eager/c_api.h', 'libtensorflow_cc.so.2']) {
      mkdirSync(dirname(join(folder, file)), { recursive: true })
      writeFileSync(join(folder, file), '')
    }
    mkdirSync(join(folder, 'bin'))
    writeFileSync(join(folder, 'bin', 'npm'), '#!/bin/sh\nexec sleep 100\n', { mode: 0o755 })
    const controller = new AbortController()
    const stages: string[] = []
    const onEvent = (event: ProgressEvent) => {
      if (event.type !== 'stage' || event.status !== 'started') return
      stages.push(event.stage)
      if (event.stage === 'Getting tfjs-node') setTimeout(() => controller.abort(), 100)
    }
    const env = { CXX: 'true', PATH: `${join(folder, 'bin')}:${process.env.PATH}` }
    const settingUp = inFolder({ cwd: folder, env }, () =>
      setUpTensorFlow({ from: folder, dataFolder: data }, { signal: controller.signal, onEvent }),
    )
    await expect(settingUp).rejects.toMatchObject({ name: 'Interrupted', message: 'stopped; nothing was installed' })
    expect(stages).toEqual(['Getting TensorFlow', 'Getting tfjs-node'])
    expect(readdirSync(data)).toEqual([])
  },
)
