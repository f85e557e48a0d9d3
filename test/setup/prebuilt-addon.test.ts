/** The addon that comes with the package: when it is used, and what happens otherwise. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeEach, describe, expect, it } from 'vitest'
import { UserError } from '../../src/platform/errors.ts'
import { type AddonMeans, findAddonMeans, provideAddon } from '../../src/setup/addon-choice.ts'
import {
  type AddonManifest,
  findPrebuilt,
  headersChecksum,
  mismatchOf,
  platformName,
  prebuiltFolder,
} from '../../src/setup/prebuilt-addon.ts'
import { addonFile, extensionsChecksum } from '../../src/setup/tfjs-node.ts'
import { inFolder } from '../cli/bin.ts'

const headers = ['tensorflow/c/c_api.h', 'tsl/platform/ctstring.h']
const machine = { platform: 'linux' as const, arch: 'x64', glibc: '2.36' }

let home: string
let libraries: string[]
let root: string
beforeEach(() => {
  const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-prebuilt-'))
  home = join(folder, 'python', 'tensorflow')
  root = join(folder, 'prebuilt')
  write(join(home, 'include', headers[0] as string), 'c_api')
  write(join(home, 'include', headers[1] as string), 'ctstring')
  libraries = ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'].map((name) => join(home, name))
})

function write(path: string, text: string) {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
}

const tensorflow = () => ({ include: join(home, 'include'), libraries })

/** Writes a prebuilt addon for the TensorFlow in `home`. */
function ship(changed: Partial<AddonManifest> = {}, platform = 'linux-x64') {
  const sha256 = headersChecksum(join(home, 'include'), headers) as string
  const manifest = {
    ...{ platform, tfjs: '4.22.0', tensorflow: '2.21.0', extensions: extensionsChecksum(), glibc: '2.34' },
    ...{ headers: { files: headers, sha256 }, libraries: ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'] },
    ...changed,
  }
  write(join(root, platform, 'manifest.json'), JSON.stringify(manifest))
  write(join(root, platform, addonFile), 'prebuilt')
  return { folder: join(root, platform), manifest }
}

describe('the prebuilt addon', () => {
  it('is found for the platform, the version of tfjs and the sources of the package', () => {
    const shipped = ship()
    expect(findPrebuilt('4.22.0', root, machine)).toEqual(shipped)
  })

  it.each<[what: string, changed: Partial<AddonManifest>, obstacle: string]>([
    ['another tfjs', { tfjs: '4.0.0' }, 'is of another version'],
    ['changed sources', { extensions: 'ab' }, 'is of another version'],
    ['a newer glibc', { glibc: '2.39' }, 'needs glibc 2.39, and this machine has 2.36'],
  ])('is not used when it is for %s', (_, changed, obstacle) => {
    ship(changed)
    expect(findPrebuilt('4.22.0', root, machine)).toContain(obstacle)
  })

  it('is not used without glibc, and where there is none for the platform', () => {
    ship()
    expect(findPrebuilt('4.22.0', root, { ...machine, glibc: undefined })).toContain('this machine has none')
    expect(findPrebuilt('4.22.0', root, { platform: 'darwin', arch: 'arm64', macos: '14.0' })).toBe(
      'no addon for darwin-arm64 comes with this copy of ltx-a2a',
    )
  })

  it('fits a TensorFlow with the same C interface, whatever its version', () =>
    expect(mismatchOf(ship().manifest, tensorflow())).toBeUndefined())

  it('does not fit when a header is changed or missing', () => {
    const { manifest } = ship()
    write(join(home, 'include', headers[1] as string), 'changed')
    expect(mismatchOf(manifest, tensorflow())).toContain('is for the C interface of TensorFlow 2.21.0')
    rmSync(join(home, 'include', headers[1] as string))
    expect(mismatchOf(manifest, tensorflow())).toContain('is for the C interface of TensorFlow 2.21.0')
  })

  it('does not fit the libraries of a C archive', () => {
    const { manifest } = ship()
    libraries = [join(home, 'libtensorflow.so.2'), libraries[1] as string]
    expect(mismatchOf(manifest, tensorflow())).toBe('the addon that comes with ltx-a2a loads libtensorflow_cc.so.2')
  })

  it('is in the npm package once it is built', () => {
    const { files } = JSON.parse(readFileSync(fileURLToPath(new URL('../../package.json', import.meta.url)), 'utf8'))
    expect(files).toContain('prebuilt')
    expect(prebuiltFolder).toMatch(/[/\\]prebuilt$/)
  })
})

describe('the addon of an installation', () => {
  /** What `provideAddon` did. */
  async function provide(means: AddonMeans, failures = 0) {
    const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-installation-'))
    const addon = join(folder, 'tfjs-node')
    mkdirSync(addon)
    const messages: string[] = []
    let compiled = 0
    const result = await provideAddon(means, {
      build: { addon, nodeHeaders: folder, tensorflow: tensorflow(), movedFolder: folder },
      check: async () => {
        if (failures-- > 0) throw new UserError('does not start', { cause: new Error('GLIBCXX_3.4.99 not found') })
        return 'checked'
      },
      info: (message) => messages.push(message),
      compile: async (work) => {
        compiled++
        return work()
      },
      signal: new AbortController().signal,
    })
    return { result, folder, messages, compiled, file: join(addon, addonFile) }
  }

  it('is the prebuilt one where it fits, also with a compiler', async () => {
    const { result, folder, messages, compiled, file } = await provide({ prebuilt: ship(), compiler: 'true' })
    expect([result, compiled, readFileSync(file, 'utf8')]).toEqual(['checked', 0, 'prebuilt'])
    expect(messages).toEqual(['Using the addon that comes with ltx-a2a'])
    expect(readlinkSync(join(folder, 'libtensorflow', 'tensorflow'))).toBe(home) // where its run path leads
  })

  it('is not linked to a TensorFlow that was unpacked where its run path leads', async () => {
    const prebuilt = ship()
    const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-installation-'))
    const place = join(folder, 'libtensorflow', 'tensorflow')
    mkdirSync(place, { recursive: true })
    mkdirSync(join(folder, 'tfjs-node'))
    const build = {
      ...{ addon: join(folder, 'tfjs-node'), nodeHeaders: folder, movedFolder: folder },
      tensorflow: {
        include: join(home, 'include'),
        libraries: prebuilt.manifest.libraries.map((name) => join(place, name)),
      },
    }
    const work = { build, check: async () => 'checked', info: () => {}, signal: new AbortController().signal }
    expect(await provideAddon({ prebuilt }, { ...work, compile: (work) => work() })).toBe('checked')
  })

  it('is compiled where the prebuilt one does not fit', async () => {
    const prebuilt = ship()
    write(join(home, 'include', headers[0] as string), 'changed')
    const { compiled, messages, file } = await provide({ prebuilt, compiler: 'true' })
    expect([compiled, existsSync(file)]).toEqual([1, false])
    expect(messages).toEqual([
      'Compiling the addon with true: the addon that comes with ltx-a2a is for the C interface of TensorFlow 2.21.0',
    ])
  })

  it('is compiled where the prebuilt one does not work', async () => {
    const { result, compiled, messages } = await provide({ prebuilt: ship(), compiler: 'true' }, 1)
    expect([result, compiled]).toEqual(['checked', 1])
    expect(messages[1]).toContain('does not work here (GLIBCXX_3.4.99 not found)')
  })

  it('that does not work ends the setup where there is no compiler', async () => {
    await expect(provide({ prebuilt: ship() }, 1)).rejects.toThrow('does not start')
  })
})

describe('without a compiler on the PATH', () => {
  const withoutCompiler = <T>(work: () => Promise<T>) => inFolder({ env: { PATH: '/nowhere', CXX: '' } }, work)

  it('the prebuilt addon is enough', async () => {
    const prebuilt = ship({}, platformName(process))
    delete (prebuilt.manifest as Partial<AddonManifest>).glibc
    write(join(prebuilt.folder, 'manifest.json'), JSON.stringify(prebuilt.manifest))
    expect(await withoutCompiler(() => findAddonMeans('4.22.0', root))).toEqual({ prebuilt })
  })

  it('and without a prebuilt addon, the setup ends before anything is downloaded', async () => {
    await expect(withoutCompiler(() => findAddonMeans('4.22.0', root))).rejects.toMatchObject({
      name: 'UserError',
      message: `there is no C++ compiler to build the addon with, and no addon for ${platformName(process)} comes with this copy of ltx-a2a`,
      hint: expect.stringMatching(/^install one: /),
    })
  })

  it('a prebuilt addon that does not fit is an error that names both', async () => {
    const prebuilt = ship()
    const build = { addon: home, nodeHeaders: home, tensorflow: { ...tensorflow(), include: home }, movedFolder: home }
    const work = { build, check: async () => {}, info: () => {}, signal: new AbortController().signal }
    await expect(
      withoutCompiler(() => provideAddon({ prebuilt }, { ...work, compile: (work) => work() })),
    ).rejects.toThrow(
      /^there is no C\+\+ compiler to build the addon with, and the addon that comes with ltx-a2a is for/,
    )
  })
})
