import { describe, expect, it } from 'vitest'
import { holds, markerVariables, requirementsOfExtra } from '../../src/setup/wheel-requirements.ts'
import { cudaMetadata } from './package-server.ts'

const linux = markerVariables('linux', 'x86_64')

describe('an environment marker', () => {
  it.each([
    ['extra == "and-cuda"', true],
    ["'and-cuda' == extra", true],
    ['extra == "gcs"', false],
    ['sys_platform != "win32" and extra == "and-cuda"', true],
    ['extra == "gcs" or extra == "and-cuda"', true],
    ['(sys_platform != "win32" and python_version < "3.13") and extra == "and-cuda"', true],
    ['(sys_platform == "win32" or platform_machine == "aarch64") and extra == "and-cuda"', false],
    ['extra == "and-cuda" and sys_platform == "win32" or platform_system == "Linux"', true],
    ['python_version < "3.9"', false], // 3.12 is newer than 3.9
    ['python_version >= "3.9"', true],
    ['"3.9" <= python_version', true],
    ['"3.12" > python_version', false],
    ['platform_release >= "5"', false],
    ['extra == "And_CUDA"', true],
    ['platform_machine in "x86_64 amd64"', true],
    ['platform_machine not in "x86_64 amd64"', false],
  ])('%s: %s', (marker, result) => expect(holds(marker, { ...linux, extra: 'and-cuda' })).toBe(result))

  it.each(['extra = "x"', 'unknown == "x"', '(extra == "x"', 'extra == "x" extra', ''])('%j is an error', (marker) =>
    expect(() => holds(marker, { ...linux, extra: 'x' })).toThrow('not an environment marker'),
  )
})

describe('the requirements of an extra', () => {
  it('are those that it adds, pinned or within a range', () => {
    const metadata = cudaMetadata('nvidia-cublas-cu12==12.5.3.2', 'nvidia_nccl.cu12 (<3.0,>=2.27.7)', 'nvidia-x [all]')
    expect(requirementsOfExtra(metadata, 'and-cuda', linux)).toEqual([
      { project: 'nvidia-cublas-cu12', specifier: '==12.5.3.2' },
      { project: 'nvidia-nccl-cu12', specifier: '<3.0,>=2.27.7' },
      { project: 'nvidia-x', specifier: '' },
    ])
  })

  it('are not those that every user of the wheel needs', () => {
    const metadata = 'Requires-Dist: numpy; python_version >= "3.9"\nRequires-Dist: x; extra == "and-cuda"'
    expect(requirementsOfExtra(metadata, 'and-cuda', linux)).toEqual([{ project: 'x', specifier: '' }])
  })

  it('are empty without the extra, and without any requirements', () => {
    expect(requirementsOfExtra(cudaMetadata(), 'and-cuda', linux)).toEqual([])
    expect(requirementsOfExtra('Name: tensorflow', 'and-cuda', linux)).toEqual([])
  })

  it('are found whatever way the extra is written', () =>
    expect(requirementsOfExtra("Requires-Dist: x>=1; extra == 'and_cuda'", 'and-cuda', linux)).toEqual([
      { project: 'x', specifier: '>=1' },
    ]))

  it.each(['x @ https://x.test/x.whl', 'x>=abc', 'x=12'])('that cannot be read are an error: %s', (requirement) => {
    const ofExtra = (extra: string) => `Requires-Dist: ${requirement}; extra == "${extra}"`
    expect(() => requirementsOfExtra(ofExtra('and-cuda'), 'and-cuda', linux)).toThrow(`not a requirement: `)
    expect(requirementsOfExtra(`${ofExtra('gcs')}\nRequires-Dist: ${requirement}`, 'and-cuda', linux)).toEqual([])
  })
})
