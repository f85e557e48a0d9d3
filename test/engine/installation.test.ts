import { mkdtempSync } from 'node:fs'
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

  it('is refused when it belongs to another version of tfjs', () => {
    expect(() => loadInstallation(folderWith({ tfjs: '3.0.0' }))).toThrow(
      `TensorFlow was set up for tfjs 3.0.0, not ${ownTfjs().version}: run ltx-a2a setup-tensorflow again`,
    )
  })

  it('is refused when one of its libraries is missing', () => {
    const folder = folderWith({ libraries: ['/nowhere/libtensorflow_cc.so.2'] })
    expect(() => loadInstallation(folder)).toThrow('set up with /nowhere/libtensorflow_cc.so.2, which is gone')
  })
})
