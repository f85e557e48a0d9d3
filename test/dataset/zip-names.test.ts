import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { findPairs } from '../../src/dataset/pairs.ts'
import { openZip } from '../../src/dataset/zip.ts'
import { pathTexts, rawPath } from '../../src/dataset/zip-names.ts'
import { type RawEntry, rawZip, unicodePathField } from '../reliability/raw-zip.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-test-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** The paths, pairs and problems of an archive, and the content of each file. */
async function read(entries: RawEntry[]) {
  const path = join(folder, 'names.zip')
  writeFileSync(path, rawZip(entries))
  const zip = await openZip(path, 'names.zip')
  const { pairs, problems } = findPairs(zip.paths)
  await zip.close()
  return {
    paths: zip.paths,
    pairs,
    problems: [...zip.problems, ...problems].filter(({ severity }) => severity !== 'hint'),
  }
}

/** A file whose name is not flagged as UTF-8. */
const file = (name: string | Buffer, more: Partial<RawEntry> = {}): RawEntry => ({ name, flags: 0, ...more })

const filesOf = (stem: string | Buffer) =>
  ['_start.wav', '_end.wav', '.txt'].map((suffix) => file(Buffer.concat([Buffer.from(stem), Buffer.from(suffix)])))

/** Names in encodings that the archive does not state. */
const shiftJis = {
  so: '835c',
  a: '8341',
  chi: '8361',
  da: '835f',
  drum: '836883898380',
  hyo: '955c',
  halfWidth: 'c4de',
}
const gbk = { drum: 'b9c4c9f9', ran: '8e5c', qiang: 'c7bb' }

describe('names without the flag for UTF-8', () => {
  test('that are valid UTF-8 are UTF-8, as macOS and Linux write them', async () => {
    const names = ['Б', 'В', 'чай', 'рай', 'む', 'ょ']
    const { paths, pairs, problems } = await read([
      ...names.flatMap((name) => filesOf(`голос/${name}`)),
      file('__MACOSX/голос/._Б_start.wav'),
    ])
    expect(pairs.map(({ name }) => name)).toEqual([...names].sort())
    expect(pairs[0]).toEqual({
      name: 'Б',
      reference: 'голос/Б_start.wav',
      target: 'голос/Б_end.wav',
      caption: 'голос/Б.txt',
    })
    expect(paths).toContain('__MACOSX/голос/._Б_start.wav')
    expect(problems).toEqual([])
  })

  test('are replaced by the extra field of Info-ZIP while its checksum fits the name', async () => {
    const raw = Buffer.from('?_start.wav')
    const field = unicodePathField(raw, 'чай_start.wav')
    expect((await read([file(raw, { extra: field }), file('чай_end.wav')])).pairs).toHaveLength(1)
    const renamed = unicodePathField(Buffer.from('other'), 'чай_start.wav')
    expect((await read([file(raw, { extra: renamed })])).paths).toEqual(['?_start.wav'])
  })

  test('in CP437 are read as before, with a note', async () => {
    const mueller = Buffer.from('M\x81ller', 'latin1')
    const { pairs, problems } = await read([...filesOf(mueller), ...filesOf(Buffer.from('caf\x82', 'latin1'))])
    expect(pairs.map(({ name, caption }) => [name, caption])).toEqual([
      ['Müller', 'Müller.txt'],
      ['café', 'café.txt'],
    ])
    expect(problems).toMatchObject([
      { severity: 'warning', message: expect.stringMatching(/^6 file names are not in UTF-8 .*Müller_start\.wav/) },
    ])
  })

  test.each([
    ['Shift-JIS', shiftJis],
    ['GBK', gbk],
  ])('in %s stay apart and whole, with a note', async (_, encoded) => {
    const stems = Object.values(encoded).map((hex) => Buffer.from(hex, 'hex'))
    const { pairs, problems } = await read(stems.flatMap(filesOf))
    expect(pairs).toHaveLength(stems.length)
    for (const { name, reference, target, caption } of pairs)
      expect([reference, target, caption]).toEqual([`${name}_start.wav`, `${name}_end.wav`, `${name}.txt`])
    expect(problems).toMatchObject([{ severity: 'warning', message: expect.stringContaining('not in UTF-8') }])
  })

  test('in Shift-JIS may contain the byte 0x5C, which is no separator there, but is one after a whole character', async () => {
    const named = (...hex: string[]) => Buffer.concat([Buffer.from(hex.join(''), 'hex'), Buffer.from('_end.wav')])
    const { paths } = await read([file(named(shiftJis.so)), file(named(shiftJis.drum, '5c', shiftJis.so))])
    expect(paths).toEqual(['�83�5C_end.wav', '�83�68�83�89�83�80/�83�5C_end.wav'])
  })

  test('in a legacy encoding beside UTF-8 names never become the same name', async () => {
    const { pairs } = await read([...filesOf('é'), ...filesOf(Buffer.from([0x82])), ...filesOf('�82')])
    expect(pairs.map(({ name }) => name)).toEqual(['é', '�82', '�EF�BF�BD82'])
  })
})

test('a flag for UTF-8 on a name that is not UTF-8 is ignored', async () => {
  expect((await read([file(Buffer.from('M\x81_end.wav', 'latin1'), { flags: 0x800 })])).paths).toEqual(['Mü_end.wav'])
})

test('a colon is part of a name, even behind a single letter', async () => {
  const names = ['a: intro', 'C:x'].flatMap((name) => [file(`${name}_start.wav`), file(`${name}_end.wav`)])
  expect((await read(names)).pairs.map(({ name }) => name)).toEqual(['C:x', 'a: intro'])
})

test('a name may begin with ./', async () => {
  expect((await read([file('./a_start.wav'), file('.//x/./a_end.wav')])).pairs).toMatchObject([
    { reference: 'a_start.wav', target: 'x/a_end.wav' },
  ])
})

test('the icon file of a macOS folder is ignored, although its name ends in a control character', async () => {
  expect((await read([file('x/Icon\r'), file('a_end.wav')])).paths).toEqual(['a_end.wav'])
})

test('names of any bytes stay different', () => {
  const byte = fc.oneof(fc.integer({ min: 0x21, max: 0x7e }), fc.integer({ min: 0x80, max: 0xff }))
  const name = fc
    .uint8Array({ minLength: 1, maxLength: 4 })
    .chain(({ length }) => fc.array(byte, { minLength: 1, maxLength: length }))
  const bytes = name.map((values) => Buffer.from(values.filter((value) => value !== 0x5c && value !== 0x2f)))
  fc.assert(
    fc.property(
      fc.uniqueArray(bytes, { minLength: 2, maxLength: 8, selector: (one) => one.toString('hex') }),
      (names) => {
        const paths = names.map((fileNameRaw) => rawPath({ fileNameRaw, extraFields: [] }))
        expect(new Set(pathTexts(paths)).size).toBe(names.length)
      },
    ),
    { numRuns: 500 },
  )
})
