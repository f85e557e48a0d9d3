import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { findLibrary } from '../../src/setup/tensorflow-source.ts'

const folderOf = (...files: string[]) => {
  const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-layout-'))
  for (const file of files) {
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    writeFileSync(join(folder, file), '')
  }
  return folder
}

const header = 'include/tensorflow/c/eager/c_api.h'
const wheel = [header, 'libtensorflow_cc.so.2', 'libtensorflow_framework.so.2']
const within = (folder: string, files: readonly string[]) => files.map((file) => join(folder, file))

describe('TensorFlow is found in', () => {
  it.each([
    ['the Python package', ''],
    ['the parent folder of the Python package', 'tensorflow'],
    ['a Python environment', 'lib/python3.12/site-packages/tensorflow'],
  ])('%s', (_, place) => {
    const folder = folderOf(...within(place, wheel))
    expect(findLibrary(folder, 'linux')).toEqual({
      include: join(folder, place, 'include'),
      libraries: within(join(folder, place), wheel.slice(1)),
    })
  })

  it('an unpacked C archive with libtensorflow.so', () => {
    const libraries = ['lib/libtensorflow.so.2', 'lib/libtensorflow_framework.so.2']
    const folder = folderOf(header, 'lib/libtensorflow.so', ...libraries)
    expect(findLibrary(folder, 'linux')?.libraries).toEqual(within(folder, libraries))
  })

  it('a conda environment with both libraries and a Python without TensorFlow', () => {
    const files = ['lib/libtensorflow_cc.so.2', 'lib/libtensorflow.so.2', 'lib/libtensorflow_framework.so.2']
    const folder = folderOf(header, ...files, 'lib/python3.12/site-packages/numpy/version.py')
    expect(findLibrary(folder, 'linux')?.libraries).toEqual(within(folder, [files[0], files[2]] as string[]))
  })

  it('the Python package on macOS', () => {
    const folder = folderOf(header, 'libtensorflow_cc.2.dylib', 'libtensorflow_framework.2.dylib')
    expect(findLibrary(folder, 'darwin')?.libraries).toEqual(
      within(folder, ['libtensorflow_cc.2.dylib', 'libtensorflow_framework.2.dylib']),
    )
  })
})

describe('TensorFlow is not found', () => {
  it('without its C headers', () => expect(findLibrary(folderOf(...wheel.slice(1)), 'linux')).toBeUndefined())
  it('without its library', () => expect(findLibrary(folderOf(header), 'linux')).toBeUndefined())
  it('with the library of another system', () => expect(findLibrary(folderOf(...wheel), 'darwin')).toBeUndefined())
})
