import { mkdtempSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  defaultDataFolder,
  type Installation,
  loadInstallation,
  ownTfjs,
  readInstallation,
  writeInstallation,
} from '../../src/engine/installation.ts'

describe('the data folder', () => {
  it.each([
    ['LTX_A2A_DATA if it is set', { LTX_A2A_DATA: '/x', XDG_DATA_HOME: '/y' }, 'linux', '/x'],
    ['below XDG_DATA_HOME', { XDG_DATA_HOME: '/y' }, 'linux', '/y/ltx-a2a'],
    ['in the home folder', {}, 'linux', join(homedir(), '.local/share/ltx-a2a')],
    ['in the Library folder on macOS', {}, 'darwin', join(homedir(), 'Library/Application Support/ltx-a2a')],
  ] as const)('is %s', (_, env, platform, folder) => expect(defaultDataFolder({ ...env }, platform)).toBe(folder))
})

describe('an installation of TensorFlow', () => {
  const folderWith = (installation: Partial<Installation>) => {
    const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-installation-'))
    writeInstallation(folder, { tfjs: ownTfjs().version, from: 'a test', libraries: [], ...installation })
    return folder
  }

  it('is read back as it was written', () => {
    const installation = { tfjs: '4.22.0', from: 'a test', libraries: ['lib/a.so'] }
    expect(readInstallation(folderWith(installation))).toEqual(installation)
  })

  it('is undefined in a folder without a record', () => {
    const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-installation-'))
    expect(readInstallation(folder)).toBeUndefined()
    expect(loadInstallation(folder)).toBeUndefined()
  })

  const refusalOf = (folder: string) => {
    try {
      loadInstallation(folder)
    } catch (error) {
      return error
    }
    return undefined
  }

  it('is refused when it belongs to another version of tfjs', () =>
    expect(refusalOf(folderWith({ tfjs: '3.0.0' }))).toMatchObject({
      message: `TensorFlow was set up for tfjs 3.0.0, not ${ownTfjs().version}`,
      hint: 'run ltx-a2a setup-tensorflow again',
    }))

  it('is refused when one of its libraries is missing', () => {
    const path = '/nowhere/libtensorflow_cc.so.2'
    expect(refusalOf(folderWith({ libraries: [path] }))).toMatchObject({
      message: `TensorFlow was set up with ${path}, which is gone`,
      hint: 'restore it, or run ltx-a2a setup-tensorflow, which downloads TensorFlow',
    })
    expect(refusalOf(folderWith({ libraries: ['lib/a.so'] }))).toMatchObject({
      hint: 'run ltx-a2a setup-tensorflow again',
    })
  })

  it.each(['{', '{}', '{"tfjs": "4.22.0", "from": "a test"}', ''])('with the record %j is refused', (text) => {
    const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-installation-'))
    const path = join(folder, 'installation.json')
    writeFileSync(path, text)
    expect(() => readInstallation(folder)).toThrow(`TensorFlow was set up, but ${path} cannot be read`)
  })
})
