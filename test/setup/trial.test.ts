/** The temporary folders of TensorFlow setups: concurrent, abandoned and stopped setups. */
import { spawn } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { installationFolder, writeInstallation } from '../../src/engine/installation.ts'
import { lockFileName, lockFolder, thisProcess } from '../../src/platform/lock.ts'
import type { ProgressEvent } from '../../src/platform/progress.ts'
import { makeTrial, moveIntoPlace, refuseOwnPlace, removeTensorFlow } from '../../src/setup/data-folder.ts'
import { setUpTensorFlow } from '../../src/setup/tensorflow.ts'
import { inFolder, ltxA2a } from '../cli/bin.ts'
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
  writeInstallation(installationFolder(trial), { tfjs: '4.22.0', from: 'a test', libraries: [] })
}

const installed = () => files.map((file) => readFileSync(join(installationFolder(data), file), 'utf8'))

describe('two concurrent setups', () => {
  it('use separate folders, and the last to finish is kept', () => {
    const [one, two] = [makeTrial(data), makeTrial(data)]
    fill(one.folder, 'one')
    fill(two.folder, 'two')
    expect(readFileSync(join(installationFolder(one.folder), 'first'), 'utf8')).toBe('one')
    moveIntoPlace(two.folder, data)
    expect(installed()).toEqual(['two', 'two', 'two'])
    moveIntoPlace(one.folder, data)
    expect(installed()).toEqual(['one', 'one', 'one'])
    for (const trial of [one, two]) trial.remove()
    expect(readdirSync(data)).toEqual(['tensorflow'])
  })

  it('in two processes can finish at the same time', async () => {
    const from = (path: string) => JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href)
    const program = (owner: string) => `
      import { rmSync, writeFileSync } from 'node:fs'
      import { installationFolder, writeInstallation } from ${from('engine/installation.ts')}
      import { makeTrial, moveIntoPlace } from ${from('setup/data-folder.ts')}
      process.stdout.write('ready')
      await new Promise((resolve) => process.stdin.once('data', resolve))
      process.stdin.destroy()
      for (let i = 0; i < 100; i++) {
        const { folder: trial, remove } = makeTrial(${JSON.stringify(data)})
        for (const file of ${JSON.stringify(files)}) writeFileSync(installationFolder(trial) + '/' + file, ${JSON.stringify(owner)})
        writeInstallation(installationFolder(trial), { tfjs: '4.22.0', from: 'a test', libraries: [] })
        moveIntoPlace(trial, ${JSON.stringify(data)})
        remove()
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

/** The trial folder of a set-up that was killed. */
function killedTrial(): string {
  const { folder } = makeTrial(data)
  writeFileSync(join(folder, lockFileName), JSON.stringify({ ...thisProcess(), started: 'earlier' }))
  return folder
}

describe('what a killed setup has left', () => {
  it('is removed by the next one, but not the folder of one that runs', () => {
    const [running, killed] = [makeTrial(data), killedTrial()]
    const next = makeTrial(data)
    expect([running.folder, killed, next.folder].map((folder) => existsSync(folder))).toEqual([true, false, true])
    for (const trial of [running, next]) trial.remove()
    expect(readdirSync(data)).toEqual([])
  })

  it('is removed by --undo, which says so', async () => {
    writeFileSync(join(killedTrial(), 'tensorflow', 'library'), 'x'.repeat(20_000))
    const { stdout } = await ltxA2a(['setup-tensorflow', '--undo'], { env: { LTX_A2A_DATA: data } })
    expect(stdout).toBe(`removed what killed set-ups had left (20 kB) from ${data}\n`)
    expect(readdirSync(data)).toEqual([])
  })

  it('includes the installation that it was replacing, which is put back', () => {
    const killed = killedTrial()
    fill(killed, 'before')
    renameSync(installationFolder(killed), join(killed, 'replaced-1'))
    makeTrial(data).remove()
    expect(installed()).toEqual(['before', 'before', 'before'])
    expect(readdirSync(data)).toEqual(['tensorflow'])
  })
})

it('an installation that cannot be replaced stays', () => {
  const first = makeTrial(data)
  fill(first.folder, 'before')
  moveIntoPlace(first.folder, data)
  first.remove()
  const next = makeTrial(data)
  rmSync(installationFolder(next.folder), { recursive: true }) // nothing to move
  expect(() => moveIntoPlace(next.folder, data)).toThrow('ENOENT')
  next.remove()
  expect(installed()).toEqual(['before', 'before', 'before'])
})

describe('--undo', () => {
  it('is refused while a setup runs, and removes nothing', () => {
    const trial = makeTrial(data)
    const busy = `TensorFlow is being set up in ${data} by process ${process.pid}`
    expect(() => removeTensorFlow(data)).toThrow(busy)
    trial.remove()
    const lock = lockFolder(join(data, 'tensorflow-downloads'))
    mkdirSync(join(data, 'tensorflow-downloads', 'ab'.repeat(8)))
    expect(() => removeTensorFlow(data)).toThrow(busy)
    expect(existsSync(join(data, 'tensorflow-downloads', 'ab'.repeat(8)))).toBe(true)
    lock.release()
  })

  it('removes downloads, and says how much', async () => {
    const wheel = join(data, 'tensorflow-downloads', 'ab'.repeat(8), 'tensorflow.whl.partial')
    mkdirSync(dirname(wheel), { recursive: true })
    writeFileSync(wheel, 'x'.repeat(64_000))
    const { stdout } = await ltxA2a(['setup-tensorflow', '--undo'], { env: { LTX_A2A_DATA: data } })
    expect(stdout).toBe(`removed interrupted downloads (64 kB) from ${data}\n`)
    expect(readdirSync(data)).toEqual([])
  })
})

describe('files that are not of this tool', () => {
  const foreign = ['downloads/thesis.pdf', 'tensorflow-downloads/thesis.pdf', 'trial-voice/take1.wav', 'notes.txt']
  function write(...paths: string[]) {
    for (const path of paths) {
      mkdirSync(dirname(join(data, path)), { recursive: true })
      writeFileSync(join(data, path), path)
    }
  }
  const exist = (paths: string[]) => paths.every((path) => existsSync(join(data, path)))

  it('are never removed, whatever their names', () => {
    write(...foreign, 'trial-run/run.lock')
    const trial = makeTrial(data)
    fill(trial.folder, 'new')
    moveIntoPlace(trial.folder, data)
    trial.remove()
    removeTensorFlow(data)
    expect(exist([...foreign, 'trial-run/run.lock'])).toBe(true)
    expect(existsSync(installationFolder(data))).toBe(false)
  })

  it('in the place of the installation are a refusal, before anything is downloaded', async () => {
    write('tensorflow/.git/HEAD')
    const refusal = `${join(data, 'tensorflow')} is there already, and ltx-a2a did not make it`
    expect(() => removeTensorFlow(data)).toThrow(refusal)
    await expect(setUpTensorFlow({ cpu: true, dataFolder: data })).rejects.toMatchObject({
      name: 'UserError',
      message: refusal,
      hint: expect.stringContaining('LTX_A2A_DATA'),
    })
    expect(exist(['tensorflow/.git/HEAD'])).toBe(true)
  })

  it.each(['tensorflow', 'tensorflow-downloads'])('as a file or a link in the place of %s are a refusal', (name) => {
    write(name)
    expect(() => removeTensorFlow(data)).toThrow(`${join(data, name)} is not a folder`)
    rmSync(join(data, name))
    symlinkSync('/nowhere/else', join(data, name))
    expect(() => removeTensorFlow(data)).toThrow(`${join(data, name)} is not a folder`)
  })
})

describe('a TensorFlow that lies where the setup replaces files', () => {
  it('is refused, also through a link', async () => {
    const home = join(data, 'tensorflow')
    for (const file of ['include/tensorflow/c/eager/c_api.h', 'libtensorflow_cc.so.2']) {
      mkdirSync(dirname(join(home, file)), { recursive: true })
      writeFileSync(join(home, file), '')
    }
    writeInstallation(home, { tfjs: '4.22.0', from: 'a test', libraries: [] })
    const link = join(dirname(data), 'link')
    symlinkSync(home, link)
    for (const from of [home, join(home, 'include'), link, data])
      await expect(setUpTensorFlow({ from, dataFolder: data })).rejects.toMatchObject({
        name: 'UserError',
        message: expect.stringContaining(`lies in ${home}, which the set-up replaces`),
      })
    expect(existsSync(join(home, 'libtensorflow_cc.so.2'))).toBe(true)
    expect(() => refuseOwnPlace(dirname(data), data)).not.toThrow()
  })
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
    writeFileSync(join(folder, 'bin', 'npm'), '#!/bin/sh\n[ "$1" = --version ] || exec sleep 100\n', { mode: 0o755 })
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
