import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ZipFile } from 'yazl'
import { findPairs } from '../../src/dataset/pairs.ts'
import { openSource, type Source } from '../../src/dataset/source.ts'
import { openZip, zipLimits } from '../../src/dataset/zip.ts'
import { UserError } from '../../src/platform/errors.ts'
import { end64, type RawEntry, rawZip } from './raw-zip.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-test-'))
const temp = join(folder, 'temp')
const before = process.env.TMPDIR
beforeAll(() => {
  writeFileSync(join(folder, 'canary'), 'unchanged')
  process.env.TMPDIR = mkdtempSync(temp)
})
afterAll(() => {
  if (before === undefined) delete process.env.TMPDIR
  else process.env.TMPDIR = before
  rmSync(folder, { recursive: true })
})

let archives = 0
function save(bytes: Uint8Array): string {
  const path = join(folder, `${++archives}.zip`)
  writeFileSync(path, bytes)
  return path
}

const file = (name: string, more: Partial<RawEntry> = {}): RawEntry => ({ name, content: `this is ${name}`, ...more })

/** Opens a zip and reads every file. */
async function readAll(path: string): Promise<Map<string, string>> {
  const source = await openSource(path)
  try {
    const texts = new Map<string, string>()
    for (const name of source.paths) texts.set(name, Buffer.from(await source.readText(name)).toString())
    return texts
  } finally {
    await source.close()
  }
}

const refusal = (bytes: Uint8Array) =>
  readAll(save(bytes)).then(
    () => 'read without an error',
    (error) => {
      if (!(error instanceof UserError)) throw error
      return error.message
    },
  )

describe('an archive is refused', () => {
  it.each<[what: string, entries: RawEntry[], message: RegExp]>([
    ['with ../ at the start of a path', [file('../canary')], /path leads out of the archive/],
    ['with ../ inside a path', [file('a/../../canary')], /path leads out of the archive/],
    ['with ..\\ in a path', [file('..\\canary')], /path leads out of the archive/],
    ['with an absolute path', [file('/etc/canary')], /path leads out of the archive/],
    ['with a Windows drive in a path', [file('C:\\canary')], /path leads out of the archive/],
    ['with a UNC path', [file('\\\\host\\share\\canary')], /path leads out of the archive/],
    [
      'with control characters in a name',
      [file('a\u001b[2J_end.wav')],
      /control characters in its name: "a\\u001b\[2J/,
    ],
    ['with a NUL in a name', [file('a_end.wav\0.txt')], /control characters/],
    [
      'with a symbolic link',
      [file('a_end.wav', { content: '/etc/passwd', mode: 0o120777 })],
      /a_end\.wav .* is a link or a device/,
    ],
    ['with a device file', [file('a_end.wav', { mode: 0o020666 })], /is a link or a device/],
    ['that is encrypted', [file('a.txt', { flags: 0x801 })], /is encrypted/],
    ['that is strongly encrypted', [file('a.txt', { flags: 0x841 })], /is encrypted/],
    ['with a wrong checksum', [file('a.txt', { crc: 1 })], /a\.txt in .* is damaged/],
    ['with a wrong checksum of a stored file', [file('a.txt', { crc: 1, method: 0 })], /a\.txt in .* is damaged/],
    [
      'with a file larger than its declared size',
      [file('a.txt', { content: 'a'.repeat(5000), size: 10 })],
      /a\.txt in .* is damaged/,
    ],
    ['with a file smaller than its declared size', [file('a.txt', { size: 5000 })], /a\.txt in .* is damaged/],
    ['with a stored file whose size is wrong', [file('a.txt', { method: 0, size: 5000 })], /is damaged or cut off/],
    [
      'with a file that extends beyond the end of the archive',
      [file('a.txt', { packedSize: 5000 })],
      /a\.txt in .* is damaged/,
    ],
    ['with an unsupported compression method', [file('a.txt', { method: 14 })], /a\.txt in .* is packed by method 14/],
  ])('%s', async (_, entries, message) => {
    expect(await refusal(rawZip([file('fine.txt'), ...entries]))).toMatch(message)
  })

  it('that is truncated at any position', async () => {
    const whole = rawZip([file('a_start.wav'), file('a_end.wav'), file('a.txt')])
    for (let length = 1; length < whole.length; length += 7)
      expect(await refusal(whole.subarray(0, length))).toMatch(/damaged or cut off|is not a zip archive/)
  })

  it('with a wrong number of files in its end record', async () => {
    expect(await refusal(rawZip([file('a.txt')], { count: 2 }))).toMatch(/damaged or cut off/)
  })

  it('with offsets beyond the end of the file', async () => {
    for (const end of [end64(1, 46, 2n ** 60n, 0n), end64(1, 46, 0, 2n ** 62n), end64(2n ** 60n, 46, 0, 0n)]) {
      const rest = Buffer.alloc(22, 0xff)
      rest.writeUInt32LE(0x06054b50, 0)
      rest.writeUInt32LE(0, 4)
      rest.writeUInt16LE(0, 20)
      expect(await refusal(Buffer.concat([...end, rest]))).toMatch(/damaged or cut off|not a zip archive/)
    }
  })

  it('that exceeds a limit, before anything is extracted, with the flag that raises it', async () => {
    const open = (bytes: Uint8Array, limits: object) => openZip(save(bytes), 'x.zip', { ...zipLimits(), ...limits })
    const many = rawZip(Array.from({ length: 30 }, (_, i) => file(`${i}.txt`)))
    await expect(open(many, { files: 29 })).rejects.toMatchObject({
      message: 'x.zip has more than 29 files',
      hint: expect.stringContaining('--limit zip-files=58'),
    })
    await expect(open(many, { files: 10 })).rejects.toMatchObject({
      hint: expect.stringContaining('--limit zip-files=30'), // twice the limit is not enough
    })
    const large = rawZip([file('a.wav', { size: 2 ** 22 }), file('b.wav', { size: 2 ** 23 })])
    await expect(open(large, { fileBytes: 2 ** 21 })).rejects.toMatchObject({
      message: 'x.zip holds b.wav of 8 MiB, more than 2 MiB',
      hint: expect.stringContaining('--limit zip-file-mib=8'),
    })
    const longComment = rawZip([file('a.txt', { comment: Buffer.alloc(60_000) })])
    await expect(open(longComment, { listBytes: 50_000 })).rejects.toThrow(
      'the file names in x.zip take more than 1 MiB',
    )
  })

  it('that is a zip bomb: by the size of one file, by the total, and by the compression ratio', async () => {
    const huge = (size: number, count = 1) =>
      rawZip(Array.from({ length: count }, (_, i) => file(`${i}_end.wav`, { size })))
    expect(await refusal(huge(2 ** 31 + 1))).toMatch(/holds 0_end\.wav of 2049 MiB, more than 2048 MiB/)
    expect(await refusal(huge(2 ** 31, 33))).toMatch(/unpacks to 67584 MiB, more than 65536 MiB/)
    expect(await refusal(huge(2 ** 30, 2))).toMatch(/unpacks to \d+ times its size, more than 200/)
  })
})

describe('an archive is read', () => {
  it('with zip64 entries', async () => {
    expect(await readAll(save(rawZip([file('a.txt')], { zip64: true })))).toEqual(new Map([['a.txt', 'this is a.txt']]))
  })

  it('with stored, deflated and empty files, in folders, and with Windows paths', async () => {
    const entries = [file('a.txt', { method: 0 }), file('b\\c.txt'), file('d/e.txt', { content: '' })]
    expect(await readAll(save(rawZip(entries)))).toEqual(
      new Map([
        ['a.txt', 'this is a.txt'],
        ['b/c.txt', 'this is b\\c.txt'],
        ['d/e.txt', ''],
      ]),
    )
  })

  it('without using its names for files on disk', async () => {
    const source = await openSource(save(rawZip([file('CON_end.wav'), file('aux.txt')])))
    const extracted = await source.withFile('CON_end.wav', async (path) => path)
    expect(extracted).toMatch(/[/\\]1\.wav$/)
    await source.close()
  })

  it('for any tree of names and contents, and no temporary files remain', async () => {
    const name = fc.stringMatching(/^[\p{L}\p{N} _-]{1,12}$/u)
    const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'))
    const content = fc.uint8Array({ maxLength: 3000 })
    await fc.assert(
      fc.asyncProperty(
        fc.dictionary(path, content, { minKeys: 1, maxKeys: 6 }),
        fc.boolean(),
        async (files, compress) => {
          const source = await openSource(save(await pack(files, compress)))
          expect(source.paths).toEqual(Object.keys(files).sort())
          for (const [name, bytes] of Object.entries(files))
            expect(await bytesOf(source, name)).toEqual(Buffer.from(bytes))
          await source.close()
        },
      ),
      { numRuns: 60 },
    )
    expect(readdirSync(process.env.TMPDIR as string)).toEqual([])
  })
})

describe('names that are equal on some systems', () => {
  it.each<[what: string, names: string[], message: RegExp]>([
    ['identical', ['a_start.wav', 'a_end.wav', 'a_end.wav'], /the pair a has 2 targets: a_end\.wav and a_end\.wav/],
    [
      'in two folders',
      ['x/a_start.wav', 'y/a_start.wav', 'a_end.wav'],
      /the pair a has 2 references: x\/a_start\.wav and y\/a_start\.wav/,
    ],
    [
      'in two Unicode normalizations',
      ['\u00e9_start.wav', 'e\u0301_start.wav', '\u00e9_end.wav'],
      /the pair \u00e9 has 2 references: /,
    ],
    [
      'in different case',
      ['a_start.wav', 'a_end.wav', 'A_start.wav', 'A_end.wav'],
      /the pairs a and A differ only in upper and lower case/,
    ],
  ])('%s: an error that names both', (_, names, message) => {
    const { problems } = findPairs(names)
    expect(problems.filter(({ severity }) => severity === 'error').map(({ message }) => message)).toEqual([
      expect.stringMatching(message),
    ])
  })
})

describe('a caption', () => {
  it('of 1 MiB is refused, and one of a page is accepted', async () => {
    expect(await refusal(rawZip([file('a.txt', { content: 'a'.repeat(2 ** 20) })]))).toMatch(/a\.txt has 1048576 bytes/)
    expect(await refusal(rawZip([file('a.txt', { content: 'a'.repeat(4000) })]))).toBe('read without an error')
  })
})

const bytesOf = async (source: Source, name: string) => Buffer.from(await source.readText(name))

async function pack(files: Record<string, Uint8Array>, compress: boolean): Promise<Buffer> {
  const archive = new ZipFile()
  for (const [path, bytes] of Object.entries(files)) archive.addBuffer(Buffer.from(bytes), path, { compress })
  archive.end()
  const chunks: Buffer[] = []
  for await (const chunk of archive.outputStream) chunks.push(Buffer.from(chunk as Uint8Array))
  return Buffer.concat(chunks)
}
