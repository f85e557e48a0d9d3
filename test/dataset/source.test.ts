import { execFileSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openSource } from '../../src/dataset/source.ts'
import { openZip, zipLimits } from '../../src/dataset/zip.ts'
import { needs } from '../needs.ts'

const fixture = (name: string) => fileURLToPath(new URL(`../../fixtures/zips/${name}.zip`, import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'ltx-test-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** Each test has its own temporary directory, which must be empty at its end. */
const realTemp = process.env.TMPDIR
let temp = ''
beforeEach(() => {
  temp = mkdtempSync(join(folder, 'tmp-'))
  process.env.TMPDIR = temp
})
afterEach(() => {
  if (realTemp === undefined) delete process.env.TMPDIR
  else process.env.TMPDIR = realTemp
  expect(readdirSync(temp), 'files left behind').toEqual([])
})

describe('a zip file', () => {
  test('lists its entries and extracts them one at a time', async () => {
    const source = await openSource(fixture('valid/mac-leftovers-and-folders'))
    expect(source.name).toBe('mac-leftovers-and-folders')
    expect(source.paths).toHaveLength(9)
    const path = 'more takes/Snare_End.Wav'
    expect(source.paths).toContain(path)
    const extracted = await source.withFile(path, async (file) => {
      expect(extname(file)).toBe('.wav')
      expect(readFileSync(file).subarray(0, 4).toString()).toBe('RIFF')
      return file
    })
    expect(existsSync(extracted)).toBe(false)
    expect(Buffer.from(await source.readText('captions/drums.TXT')).toString()).toContain('dry drums')
    await source.close()
  })

  test('removes an extracted file even when the callback fails', async () => {
    const source = await openSource(fixture('valid/ten-pairs'))
    const failure = source.withFile('tone-1_end.wav', async () => {
      throw new Error('in use')
    })
    await expect(failure).rejects.toThrow('in use')
    expect(readdirSync(join(temp, readdirSync(temp)[0] ?? '')).filter((name) => name.endsWith('.wav'))).toEqual([])
    await source.close()
  })

  test.each([
    ['without-files', 'has no files in it'],
    ['encrypted', 'is encrypted'],
    ['path-leads-out', 'has a file whose path leads out of the archive'],
    ['cut-off', 'is damaged or cut off'],
    ['web-page', 'is not a zip archive'],
    ['empty-file', 'is empty (0 bytes)'],
  ])('%s: %s', async (name, message) => {
    const path = fixture(`invalid/${name}`)
    await expect(openSource(path)).rejects.toMatchObject({
      name: 'UserError',
      message: `${path} ${message}`,
      hint: expect.any(String),
    })
  })

  test('with damaged content can be opened, and the damaged file is named when it is read', async () => {
    const source = await openSource(fixture('invalid/content-damaged'))
    await expect(source.readText('drums_start.wav')).rejects.toMatchObject({
      name: 'UserError',
      message: `drums_start.wav in ${source.location} is damaged or cut off`,
    })
    await source.close()
  })

  test.each([
    [{ files: 29 }, 'has more than 29 files'],
    [{ fileBytes: 16_000 }, 'holds tone-0_start.wav of 1 MiB, more than 1 MiB'],
    [{ totalBytes: 2 ** 18 }, 'unpacks to 1 MiB, more than 1 MiB'],
  ])('over the limit %j is refused before anything is extracted', async (limit, message) => {
    const open = openZip(fixture('valid/ten-pairs'), 'ten.zip', { ...zipLimits(), ...limit })
    await expect(open).rejects.toMatchObject({ name: 'UserError', message: `ten.zip ${message}` })
  })
})

describe('a folder', () => {
  test('lists all files recursively, including symbolic links to files', async () => {
    const home = join(folder, 'My Takes')
    mkdirSync(join(home, 'deep', 'er'), { recursive: true })
    writeFileSync(join(home, 'deep', 'er', 'a_start.wav'), 'one')
    writeFileSync(join(home, 'b.txt'), 'two')
    symlinkSync(join(home, 'b.txt'), join(home, 'c.txt'))
    symlinkSync(home, join(home, 'deep', 'loop'))
    const source = await openSource(pathToFileURL(home).href)
    expect(source.name).toBe('My-Takes')
    expect(source.paths).toEqual(['b.txt', 'c.txt', 'deep/er/a_start.wav'])
    expect(Buffer.from(await source.readText('c.txt')).toString()).toBe('two')
    await source.close()
    expect(existsSync(join(home, 'b.txt'))).toBe(true)
  })

  test.each(['folder', 'zip'])(
    'can be reached through symbolic links, as can the temporary folder: a %s',
    async (kind) => {
      const link = join(folder, `link-to-${kind}`)
      const linkedTemp = join(folder, `temp-for-${kind}`)
      mkdirSync(join(folder, `real-${kind}`))
      symlinkSync(join(folder, `real-${kind}`), link)
      symlinkSync(temp, linkedTemp)
      process.env.TMPDIR = linkedTemp
      if (kind === 'folder') writeFileSync(join(link, 'a_start.txt'), 'one')
      else cpSync(fixture('valid/ten-pairs'), join(link, 'ten.zip'))
      const source = await openSource(kind === 'folder' ? link : join(link, 'ten.zip'))
      if (kind === 'folder') expect(source.paths).toEqual(['a_start.txt'])
      const [path] = source.paths
      const size = await source.withFile(path as string, async (file) => readFileSync(file).length)
      expect(size).toBeGreaterThan(0)
      await source.close()
    },
  )

  const isLinux = process.platform === 'linux'

  test.skipIf(!isLinux)(
    'names what it does not list: names that are not UTF-8, links to folders and to nothing, pipes',
    needs('Linux'),
    async () => {
      const home = join(folder, 'odd')
      mkdirSync(join(home, 'deep'), { recursive: true })
      writeFileSync(join(home, 'a_start.wav'), 'one')
      writeFileSync(
        Buffer.concat([Buffer.from(`${home}/deep/caf`), Buffer.from([0xe9]), Buffer.from('_end.wav')]),
        'two',
      )
      mkdirSync(Buffer.concat([Buffer.from(`${home}/`), Buffer.from([0xfc])]))
      symlinkSync(join(home, 'gone'), join(home, 'b_end.wav'))
      symlinkSync(join(home, 'gone'), join(home, '.hidden'))
      symlinkSync(home, join(home, 'loop'))
      execFileSync('mkfifo', [join(home, 'c_end.wav')])
      const { paths, problems, close } = await openSource(home)
      expect(paths).toEqual(['a_start.wav'])
      expect(problems.map(({ severity, message }) => `${severity}: ${message}`).sort()).toEqual([
        'warning: b_end.wav is not used: it is a link to a file that cannot be found',
        'warning: c_end.wav is not used: it is not a regular file',
        'warning: deep/caf\uFFFDE9_end.wav is not used: its name is not UTF-8',
        'warning: loop is not used: links to folders are not followed',
        'warning: \uFFFDFC is not used: its name is not UTF-8',
      ])
      await close()
    },
  )

  test('without files is refused', async () => {
    const empty = join(folder, 'empty')
    mkdirSync(empty)
    await expect(openSource(empty)).rejects.toThrow(`${empty} has no files`)
  })

  test('with a caption larger than 1 MiB is refused when it is read', async () => {
    const home = join(folder, 'large')
    mkdirSync(home)
    writeFileSync(join(home, 'novel.txt'), Buffer.alloc(2 ** 20 + 1, 'a'))
    const source = await openSource(home)
    await expect(source.readText('novel.txt')).rejects.toThrow('novel.txt has 1048577 bytes')
    await source.close()
  })
})

test('a file: URL is accepted', async () => {
  const path = join(folder, 'a b.zip')
  cpSync(fixture('valid/ten-pairs'), path)
  const source = await openSource(pathToFileURL(path).href)
  expect([source.name, source.paths.length]).toEqual(['a-b', 30])
  await source.close()
})

test('a path that does not exist is reported', async () => {
  await expect(openSource('nowhere/pairs.zip')).rejects.toThrow('nowhere/pairs.zip does not exist')
})
