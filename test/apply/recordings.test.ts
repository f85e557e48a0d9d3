import { mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { findRecordings } from '../../src/apply/recordings.ts'

function folderWith(...files: string[]) {
  const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-recordings-'))
  for (const file of files) {
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    writeFileSync(join(folder, file), '')
  }
  return folder
}

type Settings = Parameters<typeof findRecordings>[0]

const found = async (inputs: string[], out: string, format?: Settings['format']) =>
  (await findRecordings({ inputs, out, format })).map(({ location, out }) => [location, out])

describe('the recordings of a folder', () => {
  it('are those of all its folders, and the results have the same paths', async () => {
    const folder = folderWith('b.WAV', 'a/one.mp3', 'a/notes.txt', 'a/two.caf', '.hidden.wav', '__MACOSX/b.wav')
    expect(await found([folder], 'out')).toEqual([
      [join(folder, 'a/one.mp3'), join('out', 'a/one.mp3')],
      [join(folder, 'a/two.caf'), join('out', 'a/two.wav')], // cannot be written
      [join(folder, 'b.WAV'), join('out', 'b.WAV')],
    ])
    expect(await found([folder], 'out', 'flac')).toEqual([
      [join(folder, 'a/one.mp3'), join('out', 'a/one.flac')],
      [join(folder, 'a/two.caf'), join('out', 'a/two.flac')],
      [join(folder, 'b.WAV'), join('out', 'b.flac')],
    ])
  })

  it('are not the results of an earlier run', async () => {
    const folder = folderWith('a.wav', 'out/a.wav', 'outside/b.wav')
    expect(await found([folder], join(folder, 'out'))).toEqual([
      [join(folder, 'a.wav'), join(folder, 'out/a.wav')],
      [join(folder, 'outside/b.wav'), join(folder, 'out/outside/b.wav')],
    ])
    await expect(found([folder], join(folder, 'out', '..'))).rejects.toThrow('cannot be both the input and the output')
  })

  it('are not those results through a link either', async () => {
    const folder = folderWith('a.wav', 'out/a.wav')
    const link = `${folder}-link`
    symlinkSync(folder, link)
    expect(await found([folder], join(link, 'out'))).toEqual([[join(folder, 'a.wav'), join(link, 'out/a.wav')]])
    await expect(found([folder], link)).rejects.toThrow('cannot be both the input and the output')
  })

  it('include those that cannot be read, which are reported later', async () => {
    const folder = folderWith('a.wav')
    symlinkSync('nowhere', join(folder, 'b.wav'))
    const recordings = await findRecordings({ inputs: [folder], out: 'out', format: undefined })
    expect(recordings.map(({ name, problem }) => [name, problem !== undefined])).toEqual([
      [join(folder, 'a.wav'), false],
      [join(folder, 'b.wav'), true],
    ])
  })

  it('must exist', async () => {
    const folder = folderWith('notes.txt')
    await expect(found([folder], 'out')).rejects.toThrow(`${folder} has no recordings`)
    await expect(found([join(folder, 'a.wav')], 'out')).rejects.toThrow('a.wav does not exist')
  })
})

describe('a pattern', () => {
  it('stands for the recordings that match it', async () => {
    const folder = folderWith('a/take1.wav', 'a/take2.wav', 'a/mix.wav', 'b/take1.wav', 'b/take1.txt')
    expect(await found([`${folder}/*/take*`], 'out')).toEqual([
      [join(folder, 'a/take1.wav'), join('out', 'a/take1.wav')],
      [join(folder, 'a/take2.wav'), join('out', 'a/take2.wav')],
      [join(folder, 'b/take1.wav'), join('out', 'b/take1.wav')],
    ])
    await expect(found([`${folder}/*.flac`], 'out')).rejects.toThrow('no recording matches')
  })

  it('does not stand for results of an earlier run', async () => {
    const folder = folderWith('a/one.wav', 'out/a/one.wav')
    expect(await found([`${folder}/**/*.wav`], join(folder, 'out'))).toEqual([
      [join(folder, 'a/one.wav'), join(folder, 'out/a/one.wav')],
    ])
  })

  it('is a file where one has that name', async () => {
    const folder = folderWith('take [1].wav', 'take 1.wav')
    const path = join(folder, 'take [1].wav')
    expect(await found([path], 'out')).toEqual([[path, join('out', 'take [1].wav')]])
  })
})

describe('results', () => {
  it('have the name of the file that is given for a single recording', async () => {
    const folder = folderWith('a.wav')
    expect(await found([join(folder, 'a.wav')], 'b.mp3')).toEqual([[join(folder, 'a.wav'), 'b.mp3']])
    await expect(found([join(folder, 'a.wav')], 'b.mp4')).rejects.toThrow('b.mp4 has the extension .mp4')
    await expect(found([join(folder, 'a.wav')], 'b.aac')).rejects.toThrow('cannot hold what it was made of')
    await expect(found([join(folder, 'a.wav')], 'b.wvv')).rejects.toThrow('b.wvv has the extension .wvv')
    await expect(found([join(folder, 'a.wav')], 'b.mp3', 'wav')).rejects.toThrow('--format is wav, but --out is b.mp3')
  })

  it('go to a folder that exists, whatever its name', async () => {
    const folder = folderWith('a.wav', 'take.wvv/b.wav')
    const out = join(folder, 'take.wvv')
    expect(await found([join(folder, 'a.wav')], out)).toEqual([[join(folder, 'a.wav'), join(out, 'a.wav')]])
    expect(await found([join(folder, 'a.wav')], 'version 1.2')).toHaveLength(1)
  })

  it('of several recordings need a folder', async () => {
    const folder = folderWith('a.wav', 'b.wav')
    await expect(found([folder], 'c.wav')).rejects.toThrow('2 recordings cannot all become c.wav')
  })

  it('have different names', async () => {
    const folder = folderWith('a.wav', 'a.aif', 'sub/a.wav')
    await expect(found([folder], 'out', 'wav')).rejects.toThrow(
      `${join(folder, 'a.aif')} and ${join(folder, 'a.wav')} would both become ${join('out', 'a.wav')}`,
    )
  })

  it('exist once for a recording that is given twice', async () => {
    const folder = folderWith('a.wav')
    expect(await found([join(folder, 'a.wav'), join(folder, '.', 'a.wav'), folder], 'out')).toHaveLength(1)
  })
})
