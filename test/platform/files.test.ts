import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  createFile,
  isDiskFull,
  isLeftover,
  replaceFile,
  replaceFileWith,
  replaceJson,
  temporaryPath,
} from '../../src/platform/files.ts'
import { needs } from '../needs.ts'

/** The path that the next call of `temporaryPath` gives. */
const nextTemporaryPath = (path: string) =>
  temporaryPath(path).replace(/(\d+)\.tmp$/, (_, count) => `${Number(count) + 1}.tmp`)

const newFolder = () => mkdtempSync(join(tmpdir(), 'ltx-a2a-files-'))

it('a file is created only where there is none, and nothing else is left', () => {
  const folder = newFolder()
  expect(createFile(join(folder, 'file'), 'first')).toBe(true)
  expect(createFile(join(folder, 'file'), 'second')).toBe(false)
  expect(readFileSync(join(folder, 'file'), 'utf8')).toBe('first')
  expect(readdirSync(folder)).toEqual(['file'])
})

describe('a file that is written elsewhere and renamed', () => {
  it('replaces the old one when it is complete', async () => {
    const folder = newFolder()
    const path = join(folder, 'new', 'file')
    await replaceFileWith(path, async (temporary) => writeFileSync(temporary, 'one'))
    await replaceFileWith(path, async (temporary) => {
      writeFileSync(temporary, 'two')
      expect(readFileSync(path, 'utf8')).toBe('one')
    })
    expect(readFileSync(path, 'utf8')).toBe('two')
    expect(readdirSync(dirname(path))).toEqual(['file'])
  })

  it('leaves the old one when it fails', async () => {
    const folder = newFolder()
    const path = join(folder, 'file')
    writeFileSync(path, 'old')
    const failing = replaceFileWith(path, async (temporary) => {
      writeFileSync(temporary, 'half')
      throw new Error('failed')
    })
    await expect(failing).rejects.toThrow('failed')
    expect(readFileSync(path, 'utf8')).toBe('old')
    expect(readdirSync(folder)).toEqual(['file'])
  })

  it('removes what killed processes have left, and nothing else', async () => {
    const folder = newFolder()
    const { pid } = spawnSync(process.execPath, ['--version'])
    const kept = [`file.${process.pid}-0-1.tmp`, `other.${pid}-0-1.tmp`, `file.${pid}.tmp`, 'file.tmp']
    for (const name of [`file.${pid}-0-1.tmp`, ...kept]) writeFileSync(join(folder, name), '')
    await replaceFileWith(join(folder, 'file'), async (temporary) => writeFileSync(temporary, 'new'))
    expect(readdirSync(folder).sort()).toEqual(['file', ...kept].sort())
  })
})

describe('replacing a file', () => {
  it('writes the parts in order and creates the folder', () => {
    const path = join(newFolder(), 'a', 'b', 'file')
    replaceFile(path, ['one ', new Uint8Array([116, 119, 111]), ' ü'])
    expect(readFileSync(path, 'utf8')).toBe('one two ü')
  })

  it('leaves no temporary file', () => {
    const folder = newFolder()
    replaceFile(join(folder, 'file'), ['old'])
    replaceFile(join(folder, 'file'), ['new'])
    expect(readdirSync(folder)).toEqual(['file'])
    expect(readFileSync(join(folder, 'file'), 'utf8')).toBe('new')
  })

  it('keeps the old file and leaves no partial file when a part cannot be written', () => {
    const folder = newFolder()
    const path = join(folder, 'file')
    writeFileSync(path, 'old')
    const broken = {
      get length() {
        throw new Error('out of memory')
      },
    } as unknown as Uint8Array
    expect(() => replaceFile(path, ['new', broken])).toThrow('out of memory')
    expect(readFileSync(path, 'utf8')).toBe('old')
    expect(readdirSync(folder)).toEqual(['file'])
  })

  it.skipIf(!existsSync('/dev/full'))(
    'keeps the old file and leaves no partial file when the disk is full',
    needs('/dev/full, a device without room'),
    () => {
      const folder = newFolder()
      const path = join(folder, 'file')
      writeFileSync(path, 'old')
      symlinkSync('/dev/full', nextTemporaryPath(path)) // where the new file is written first
      expect(() => replaceFile(path, ['new'])).toThrow(expect.toSatisfy(isDiskFull))
      expect(readFileSync(path, 'utf8')).toBe('old')
      expect(readdirSync(folder)).toEqual(['file'])
    },
  )

  it('recognizes temporary files of a killed process', () => {
    expect(
      ['state.safetensors.4711.tmp', 'state.safetensors.4711-0-1.tmp', 'notes.tmp', 'state.safetensors'].map(
        isLeftover,
      ),
    ).toEqual([true, true, false, false])
  })

  it('leaves no partial file when the path is a folder', () => {
    const folder = newFolder()
    mkdirSync(join(folder, 'taken', 'inside'), { recursive: true })
    expect(() => replaceFile(join(folder, 'taken'), ['new'])).toThrow()
    expect(readdirSync(folder)).toEqual(['taken'])
  })

  it.skipIf(process.getuid?.() === 0)('reports missing write permission', needs('a user who is not root'), () => {
    const folder = newFolder()
    chmodSync(folder, 0o500)
    expect(() => replaceFile(join(folder, 'file'), ['new'])).toThrow('EACCES')
    expect(existsSync(join(folder, 'file'))).toBe(false)
  })

  it('writes JSON with a trailing line break', () => {
    const path = join(newFolder(), 'file.json')
    replaceJson(path, { rank: 32, name: 'ü' })
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual({ rank: 32, name: 'ü' })
    expect(readFileSync(path, 'utf8').endsWith('}\n')).toBe(true)
  })
})
