import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bytesPerElement, type Dtype, elementCount, float32Bytes } from '../../src/formats/dtypes.ts'
import { openSafetensors, type StoredTensor, writeSafetensors } from '../../src/formats/safetensors.ts'
import { UserError } from '../../src/platform/errors.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-safetensors-'))
let files = 0
const newPath = () => join(folder, `file-${files++}.safetensors`)

const column = (...values: number[]): StoredTensor => ({
  dtype: 'F32',
  shape: [values.length, 1],
  bytes: float32Bytes(Float32Array.from(values)),
})

function written(tensors: Record<string, StoredTensor>, metadata?: Record<string, string>): string {
  const path = newPath()
  writeSafetensors(path, new Map(Object.entries(tensors)), metadata)
  return path
}

const dtypes = Object.keys(bytesPerElement) as Dtype[]
const anyTensor: fc.Arbitrary<StoredTensor> = fc
  .record({
    dtype: fc.constantFrom(...dtypes),
    shape: fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 }),
    seed: fc.integer({ min: 0, max: 255 }),
  })
  .map(({ dtype, shape, seed }) => {
    const bytes = Uint8Array.from(
      { length: elementCount(shape) * bytesPerElement[dtype] },
      (_, i) => (i * 31 + seed) & 255,
    )
    return { dtype, shape, bytes }
  })
const anyName = fc
  .string({ minLength: 1, maxLength: 20, unit: 'binary' })
  .filter((name) => !name.startsWith('__') && Number.isNaN(Number(name)))

describe('a safetensors file', () => {
  it('is read back with any names, types, shapes and metadata', () => {
    const path = newPath()
    fc.assert(
      fc.property(
        fc.dictionary(anyName, anyTensor, { maxKeys: 6, noNullPrototype: true }),
        fc.dictionary(anyName, fc.string(), { maxKeys: 3, noNullPrototype: true }),
        (tensors, metadata) => {
          writeSafetensors(path, new Map(Object.entries(tensors)), metadata)
          const file = openSafetensors(path)
          try {
            expect(file.metadata).toEqual(metadata)
            expect([...file.tensors.keys()]).toEqual(Object.keys(tensors))
            for (const [name, tensor] of Object.entries(tensors)) expect(file.read(name)).toEqual(tensor)
          } finally {
            file.close()
          }
        },
      ),
      { numRuns: 40 },
    )
  })

  it('has a length, a header padded to eight bytes and contiguous data', () => {
    const bytes = readFileSync(written({ b: column(1), a: column(2, 3) }, { rank: '32' }))
    const length = Number(bytes.readBigUInt64LE())
    expect(length % 8).toBe(0)
    expect(JSON.parse(bytes.subarray(8, 8 + length).toString())).toEqual({
      __metadata__: { rank: '32' },
      b: { dtype: 'F32', shape: [1, 1], data_offsets: [0, 4] },
      a: { dtype: 'F32', shape: [2, 1], data_offsets: [4, 12] },
    })
    expect(new Float32Array(Uint8Array.from(bytes.subarray(8 + length)).buffer)).toEqual(Float32Array.of(1, 2, 3))
  })

  it('is written with the same bytes for the same tensors', () => {
    const tensors = { a: column(1, 2), b: column(3) }
    expect(readFileSync(written(tensors))).toEqual(readFileSync(written(tensors)))
  })

  it('is written without metadata by default', () => {
    const path = written({ a: column(1) })
    expect(readFileSync(path, 'latin1')).not.toContain('__metadata__')
    const file = openSafetensors(path)
    expect(file.metadata).toEqual({})
    file.close()
  })

  it('can be read in parts: selected rows or the first bytes', () => {
    const file = openSafetensors(written({ before: column(9), table: column(0, 1, 2, 3) }))
    expect(file.readRows('table', [3, 1, 1])).toEqual(column(3, 1, 1))
    expect(() => file.readRows('table', [4])).toThrow('table has 4 rows and none numbered 4')
    expect(file.readStart('table', 8)).toEqual(column(0, 1).bytes)
    expect(file.readStart('table', 1000)).toEqual(column(0, 1, 2, 3).bytes)
    expect(file.readPooled('table')).toEqual(column(0, 1, 2, 3))
    expect(file.readPooled('before')).toEqual(column(9))
    expect(() => file.read('tabel')).toThrow('has no tensor tabel')
    file.close()
  })
})

describe('reading ahead', () => {
  it('does not change the data, and the file can be closed during it', async () => {
    const tensors = Object.fromEntries(
      Array.from({ length: 40 }, (_, i) => [`t${i}`, column(...Array(500 + i).fill(i))]),
    )
    const file = openSafetensors(written(tensors))
    file.readAhead(Object.keys(tensors))
    for (const name of Object.keys(tensors)) expect(file.read(name)).toEqual(tensors[name])
    file.readAhead(Object.keys(tensors))
    file.close()
    await setImmediate()
    expect(() => file.readAhead(['t40'])).toThrow('has no tensor t40')
  })
})

describe('writing', () => {
  it('reads the bytes of each tensor once, in order', () => {
    const accessed: string[] = []
    const lazy = (name: string, ...values: number[]) => ({
      dtype: 'F32' as const,
      shape: [values.length, 1],
      get bytes() {
        accessed.push(name)
        return column(...values).bytes
      },
    })
    const path = written({ first: lazy('first', 1, 2), second: lazy('second', 3) })
    expect(accessed).toEqual(['first', 'second'])
    expect(readFileSync(path)).toEqual(readFileSync(written({ first: column(1, 2), second: column(3) })))
  })

  it('leaves no file when the bytes do not match the shape', () => {
    const path = newPath()
    const wrong = { ...column(1, 2), shape: [3, 1] }
    expect(() => writeSafetensors(path, new Map([['a', wrong]]))).toThrow('a: 8 bytes do not fill F32 [3,1]')
    expect(readdirSync(folder).filter((name) => join(folder, name).startsWith(path))).toEqual([])
  })
})

/** A file with the given header, which can be invalid. */
function fileOf(header: unknown, { dataBytes = 0, length }: { dataBytes?: number; length?: bigint } = {}): string {
  const json = typeof header === 'string' ? Buffer.from(header, 'latin1') : Buffer.from(JSON.stringify(header))
  const start = Buffer.alloc(8)
  start.writeBigUInt64LE(length ?? BigInt(json.length))
  const path = newPath()
  writeFileSync(path, Buffer.concat([start, json, Buffer.alloc(dataBytes)]))
  return path
}

function emptyFile(): string {
  const path = newPath()
  writeFileSync(path, '')
  return path
}

const entry = (dtype: unknown, shape: unknown, offsets: unknown) => ({ x: { dtype, shape, data_offsets: offsets } })

describe('an invalid file is refused: ', () => {
  it.each<[what: string, path: () => string, sentence: string | RegExp]>([
    ['a missing file', () => join(folder, 'gone.safetensors'), /gone\.safetensors cannot be opened$/],
    ['a folder', () => folder, 'it is not a regular file'],
    ['an empty file', emptyFile, 'it has 0 bytes, too few for a header'],
    [
      'a header longer than the file',
      () => fileOf('{}', { length: 100n }),
      'its header claims 100 bytes but the file has 10',
    ],
    [
      'a header length of 2^63',
      () => fileOf('{}', { length: 2n ** 63n }),
      'its header claims 9223372036854776000 bytes',
    ],
    ['an HTML page', () => fileOf('<html>'), 'its header is not JSON'],
    ['a header that is not UTF-8', () => fileOf('{"\xff":1}'), 'its header is not JSON'],
    ['a header that is a list', () => fileOf([]), 'its header is not an object'],
    ['a header that is null', () => fileOf('null'), 'its header is not an object'],
    ['metadata of numbers', () => fileOf({ __metadata__: { rank: 32 } }), 'its metadata is not a map of strings'],
    ['metadata that is null', () => fileOf({ __metadata__: null }), 'its metadata is not a map of strings'],
    ['an unknown type', () => fileOf(entry('F4', [1], [0, 1])), 'x is stored as F4'],
    ['no type', () => fileOf({ x: null }), 'tensor x has the unknown type undefined'],
    ['a negative size', () => fileOf(entry('U8', [-1], [0, 1])), 'tensor x has the shape [-1]'],
    ['a fractional size', () => fileOf(entry('U8', [1.5], [0, 1])), 'tensor x has the shape [1.5]'],
    ['no shape', () => fileOf(entry('U8', 1, [0, 1])), 'tensor x has the shape 1'],
    ['one offset', () => fileOf(entry('U8', [1], [0])), 'tensor x has the offsets [0]'],
    [
      'descending offsets',
      () => fileOf(entry('U8', [1], [1, 0]), { dataBytes: 4 }),
      'tensor x has -1 bytes, which do not fill U8 [1]',
    ],
    [
      'offsets that do not match the shape',
      () => fileOf(entry('F32', [2, 3], [0, 20]), { dataBytes: 24 }),
      'tensor x has 20 bytes, which do not fill F32 [2, 3]',
    ],
    [
      'a truncated file',
      () => fileOf(entry('F32', [2], [0, 8]), { dataBytes: 7 }),
      /tensor x ends at byte (\d+) but the file has \d+$/,
    ],
  ])('%s', (_, path, sentence) => {
    const open = () => openSafetensors(path())
    expect(open).toThrow(sentence)
    expect(open).toThrow(UserError)
  })

  it('the message contains the file name', () => {
    mkdirSync(join(folder, 'deep'))
    const path = join(folder, 'deep', 'lora.safetensors')
    writeFileSync(path, 'short')
    expect(() => openSafetensors(path)).toThrow(/^lora\.safetensors is not a usable safetensors file: /)
  })
})
