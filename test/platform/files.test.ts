import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { replaceFile, replaceJson } from '../../src/platform/files.ts'
import { needs } from '../needs.ts'

const newFolder = () => mkdtempSync(join(tmpdir(), 'ltx-a2a-files-'))

describe('replacing a file', () => {
  it('writes the parts one after another, in a folder that it makes', () => {
    const path = join(newFolder(), 'a', 'b', 'file')
    replaceFile(path, ['one ', new Uint8Array([116, 119, 111]), ' ü'])
    expect(readFileSync(path, 'utf8')).toBe('one two ü')
  })

  it('leaves nothing beside the file', () => {
    const folder = newFolder()
    replaceFile(join(folder, 'file'), ['old'])
    replaceFile(join(folder, 'file'), ['new'])
    expect(readdirSync(folder)).toEqual(['file'])
    expect(readFileSync(join(folder, 'file'), 'utf8')).toBe('new')
  })

  it('keeps the old file and leaves no half one when a part cannot be written', () => {
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

  it('leaves no half file where the name is taken by a folder', () => {
    const folder = newFolder()
    mkdirSync(join(folder, 'taken', 'inside'), { recursive: true })
    expect(() => replaceFile(join(folder, 'taken'), ['new'])).toThrow()
    expect(readdirSync(folder)).toEqual(['taken'])
  })

  it.skipIf(process.getuid?.() === 0)('says so where it may not write', needs('a user who is not root'), () => {
    const folder = newFolder()
    chmodSync(folder, 0o500)
    expect(() => replaceFile(join(folder, 'file'), ['new'])).toThrow('EACCES')
    expect(existsSync(join(folder, 'file'))).toBe(false)
  })

  it('writes JSON that reads back, with a line break at its end', () => {
    const path = join(newFolder(), 'file.json')
    replaceJson(path, { rank: 32, name: 'ü' })
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual({ rank: 32, name: 'ü' })
    expect(readFileSync(path, 'utf8').endsWith('}\n')).toBe(true)
  })
})
