import { describe, expect, it } from 'vitest'
import {
  macosVersion,
  parseWheelName,
  runsOn,
  thisWheelMachine,
  usableWheels,
  type WheelMachine,
} from '../../src/setup/wheel-name.ts'

const linux: WheelMachine = { platform: 'linux', arch: 'x64', glibc: '2.31' }
const arm: WheelMachine = { platform: 'linux', arch: 'arm64', glibc: '2.31' }
const mac: WheelMachine = { platform: 'darwin', arch: 'arm64', macos: '14.5' }

describe('the platform tag', () => {
  it.each<[tag: string, machine: WheelMachine, runs: boolean]>([
    ['manylinux_2_27_x86_64', linux, true],
    ['manylinux_2_31_x86_64', linux, true],
    ['manylinux_2_34_x86_64', linux, false],
    ['manylinux_2_5_x86_64', linux, true],
    ['manylinux2014_x86_64', linux, true],
    ['manylinux2014_x86_64', { ...linux, glibc: '2.12' }, false],
    ['manylinux1_x86_64', linux, true],
    ['linux_x86_64', linux, true],
    ['manylinux_2_27_aarch64', linux, false],
    ['manylinux_2_27_aarch64', arm, true],
    ['manylinux_2_27_x86_64', { ...linux, glibc: undefined }, false],
    ['musllinux_1_2_x86_64', linux, false],
    ['win_amd64', linux, false],
    ['any', linux, false],
    ['macosx_12_0_arm64', mac, true],
    ['macosx_15_0_arm64', mac, false],
    ['macosx_11_0_universal2', mac, true],
    ['macosx_10_14_x86_64', mac, false],
    ['macosx_10_14_x86_64', { ...mac, arch: 'x64' }, true],
    ['macosx_12_0_arm64', linux, false],
    ['manylinux_2_17_x86_64', { ...mac, arch: 'x64' }, false],
  ])('%s on %o: %s', (tag, machine, runs) => expect(runsOn(tag, machine)).toBe(runs))
})

it('this machine has a version of glibc or of macOS', () => {
  const { glibc, macos } = thisWheelMachine()
  expect(glibc ?? macos).toMatch(/^\d+\.\d+/)
})

it.each([
  ['20.6.0', '11.6'],
  ['23.4.0', '14.4'],
  ['25.1.0', '26.1'],
])('Darwin %s is macOS %s', (darwin, macos) => expect(macosVersion(darwin)).toBe(macos))

it('a wheel name has a project, a version and tags, also with a build number', () => {
  expect(parseWheelName('Tensorflow_CPU-2.21.0-1-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl')).toEqual({
    project: 'tensorflow-cpu',
    version: '2.21.0',
    python: 'cp312',
    abi: 'cp312',
    platforms: ['manylinux_2_17_x86_64', 'manylinux2014_x86_64'],
  })
  expect(parseWheelName('tensorflow-2.21.0.tar.gz')).toBeUndefined()
})

describe('of the wheels of a project', () => {
  const files = (...names: string[]) =>
    names.map((name) => ({ name, url: new URL(`https://files.test/${name}`), isYanked: false }))
  const tag = 'cp312-cp312-manylinux_2_17_x86_64'
  const chosen = (list: ReturnType<typeof files>, specifier?: string) =>
    usableWheels(list, 'tensorflow', linux, specifier).map(({ version, python }) => `${version} ${python}`)

  it('the newest final release comes first, by number', () =>
    expect(
      chosen(
        files(
          ...['2.9.3', '2.10.0', '2.21.0rc1', '2.22.0.dev1', '2.10.0.post1', 'nonsense'].map(
            (version) => `tensorflow-${version}-${tag}.whl`,
          ),
        ),
      ),
    ).toEqual(['2.10.0.post1 cp312', '2.10.0 cp312', '2.9.3 cp312']))

  it('each release is there once, for the newest Python with a global lock', () => {
    const pythons = ['cp39-cp39', 'cp313-cp313t', 'cp313-cp313', 'cp310-cp310']
    const list = files(...pythons.map((python) => `tensorflow-2.21.0-${python}-manylinux_2_17_x86_64.whl`))
    expect(usableWheels(list, 'tensorflow', linux)).toMatchObject([{ version: '2.21.0', abi: 'cp313' }])
  })

  it('those of other projects and systems, source archives and yanked files are left out', () => {
    const list = files(
      `tensorflow-2.1.0-${tag}.whl`,
      `tensorflow_gpu-2.2.0-${tag}.whl`,
      'tensorflow-2.3.0-cp312-cp312-win_amd64.whl',
      'tensorflow-2.4.0.tar.gz',
      `tensorflow-2.5.0-${tag}.whl`,
    )
    expect(chosen(list.map((file, i) => ({ ...file, isYanked: i === 4 })))).toEqual(['2.1.0 cp312'])
  })

  it.each([
    ['==12.5.3.2', ['12.5.3.2']],
    ['<13.0,>=12.5.3.2', ['12.9.1.4', '12.5.3.2']],
    ['~=12.5', ['12.9.1.4', '12.5.3.2']],
    ['!=12.9.1.4', ['13.0.0', '12.5.3.2']],
  ])('%s selects %o', (specifier, versions) => {
    const list = files(
      ...['12.5.3.2', '12.9.1.4', '13.0.0'].map((v) => `nvidia_cublas_cu12-${v}-py3-none-manylinux2014_x86_64.whl`),
    )
    expect(usableWheels(list, 'nvidia-cublas-cu12', linux, specifier).map(({ version }) => version)).toEqual(versions)
  })
})
